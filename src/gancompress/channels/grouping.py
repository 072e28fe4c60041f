"""Conversion of labels to a channel graph: groups of tied positions, and the layout of every axis over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from torch import nn

from gancompress.channels.follow import components, reasons
from gancompress.channels.graph import ChannelGraph, ChannelGroup, FixedChannels, TensorShape
from gancompress.channels.labels import FIXED, Factor, Fix, Labelling, SizeOf, compress
from gancompress.channels.layout import Axis, Extent, Segment, decode
from gancompress.channels.recording import ModuleCall, Ref


class Grouping:
    """Channel groups read from a labelling.

    Attributes:
        graph: The channel graph, if every layout is regular.
        irregular: Fixes for channels without a regular layout.
        splits: Ties that may make them regular.
        roots: Channel of every atom: the smallest atom that is tied to it.
        num_ties: Number of ties that it was read from.
    """

    def __init__(self, module: nn.Module, labelling: Labelling, before: Grouping | None = None) -> None:
        """Read the groups.

        Args:
            module: The module that was recorded.
            labelling: Its labels.
            before: Groups of the same labelling before its last ties were added.
        """
        self.labelling = labelling
        self.recording = labelling.recording
        new = [(a, b) for a, b, _ in labelling.ties[0 if before is None else before.num_ties :]]
        self.roots = components(labelling.num_atoms, new, None if before is None else before.roots)
        self.num_ties = len(labelling.ties)
        self.irregular: list[Fix] = []
        self.splits: list[tuple[np.ndarray, np.ndarray]] = []
        self._roles = _axis_roles(labelling)
        self._rows = {
            (name, axis): self.roots[labelling.atoms_of(name, axis)] for name, axis in _axes_in_order_of_use(labelling)
        }
        """Channel of every position of each axis of a parameter, in the order of use."""
        self._group = np.full(labelling.num_atoms, -1)
        """Number of the group of every channel, -1 for channels that no plan removes."""
        self._rank = np.zeros(labelling.num_atoms, dtype=np.int64)
        """Number of every channel in its group."""
        self._sizes: dict[int, int] = {}
        for number, roots in enumerate(self._group_channels()):
            self._group[roots], self._rank[roots], self._sizes[number] = number, np.arange(roots.size), roots.size
        self._names = self._name_groups()
        self._compressed: dict[int, Factor] = {}
        self._shapes: dict[tuple[int, tuple[int, ...]], tuple[Extent, ...]] = {}
        self.graph = self._build(module)

    def groups_of(self, roots: np.ndarray) -> set[int]:
        """Return the numbers of the groups that any of these channels belong to."""
        return set(np.unique(self._group[roots]).tolist()) - {-1}

    def conflict(self, groups: Iterable[int], reason: str, where: str) -> Fix:
        """Return the fix that keeps these groups at full width."""
        atoms = np.flatnonzero(np.isin(self._group[self.roots], sorted(groups)))
        return Fix(atoms, reason, where, unfollowed=True)

    def all_groups(self) -> set[int]:
        """Return the numbers of all groups."""
        return set(self._sizes)

    def _group_channels(self) -> list[np.ndarray]:
        """Group channels that lie on the same axes, equally often, in the order of the first axis.

        Fewer than three channels form no group: at width 1 an axis broadcasts, and a mistake would go unnoticed.
        """
        signature = np.zeros(self.labelling.num_atoms, dtype=np.int64)  # alike for channels on the same axes so far
        last, in_order = 0, [np.zeros(0, dtype=np.int64)]
        for row in self._rows.values():
            roots, first, counts = np.unique(row[row != FIXED], return_index=True, return_counts=True)
            if not roots.size:
                continue
            new = signature[roots] == 0
            in_order.append(roots[new][np.argsort(first[new])])
            kinds = np.unique(signature[roots] * (counts.max() + 1) + counts, return_inverse=True)[1]
            signature[roots] = last + 1 + kinds
            last += 1 + int(kinds.max())
        channels = np.concatenate(in_order)
        _, first, number, counts = np.unique(
            signature[channels], return_index=True, return_inverse=True, return_counts=True
        )
        together = np.split(channels[np.argsort(number, kind="stable")], np.cumsum(counts)[:-1])
        return [together[i] for i in np.argsort(first) if together[i].size > 2]

    def _name_groups(self) -> list[str]:
        """Name each group by the first layer that produces it, or else by the first tensor that it lies on."""
        lying = {key: self.groups_of(row) for key, row in self._rows.items()}
        producer: dict[int, str] = {}
        for role in ("out", None):
            for (name, axis), groups in lying.items():
                if role is None or self._roles.get((name, axis)) == role:
                    for group in groups:
                        producer.setdefault(group, name if role is None else layer_of(name))
        names: dict[str, None] = {}
        for group in sorted(self._sizes):
            name, count = producer[group], 1
            while name in names:
                count += 1
                name = f"{producer[group]}#{count}"
            names[name] = None
        return list(names)

    def _num_positions(self) -> dict[int, int]:
        """Return the positions that a channel of each group takes on an axis, at least."""
        least: dict[int, int] = {}
        for row in self._rows.values():
            for group, count in self._counts(row).items():
                least[group] = min(count // self._sizes[group], least.get(group, count))
        return least

    def _counts(self, roots: np.ndarray) -> dict[int, int]:
        """Return the number of positions of each group."""
        groups, counts = np.unique(self._group[roots], return_counts=True)
        return {group: count for group, count in zip(groups.tolist(), counts.tolist(), strict=True) if group >= 0}

    def _axis(self, name: str, axis: int, size: int) -> Axis:
        row = self._rows.get((name, axis))
        role = self._roles.get((name, axis), "")
        if row is None:
            return Axis((Segment(None, size),), role)
        segments = decode(self._group[row], self._rank[row], self._sizes)
        if segments is None:
            reason = "its channels are met in an order that depends on their number"
            self.irregular.append(self.conflict(self.groups_of(row), reason, layer_of(name)))
            return Axis((Segment(None, size),), role)
        return Axis(tuple(Segment(None if g is None else self._names[g], n, r) for g, n, r in segments), role)

    def _resolved(self, factor: Factor) -> Factor:
        """Return the channels of a factor. Many tensors share one."""
        if id(factor) not in self._compressed:
            self._compressed[id(factor)] = compress(self.roots[factor])
        return self._compressed[id(factor)]

    def _extent(self, ref: Ref, axis: int) -> Extent:
        """Return the size of one axis of any tensor of the pass."""
        size = self.recording.tensors[ref.index].shape[axis]
        labels = self.labelling[ref]
        resolved = [self._resolved(f) for f in labels.factors]
        lying = [f for f in resolved if f.shape[axis] > 1 and self.groups_of(f)]
        follows = labels.flexible.get(axis)
        if not lying and follows is not None:
            lying = [
                self.roots[follows].reshape(
                    [-1 if a == axis else 1 for a in range(len(self.recording.tensors[ref.index].shape))]
                )
            ]
        if not lying:
            return Extent(size)
        periods = size // lying[0].shape[axis]
        counts = {group: count * periods for group, count in self._counts(lying[0].ravel()).items()}
        alone = len(lying) == 1 and lying[0].size == lying[0].shape[axis]
        if not alone:
            self.splits += [split for f in labels.factors if (split := self._split(f)) is not None]
        if not alone or any(n % self._sizes[g] for g, n in counts.items()):
            reason = "channels are split over two axes or taken in part"
            groups = {g for f in lying for g in self.groups_of(f)}
            self.irregular.append(self.conflict(groups, reason, self._where(ref)))
            return Extent(size)
        factors = tuple((self._names[g], n // self._sizes[g]) for g, n in sorted(counts.items()))
        return Extent(size - sum(counts.values()), factors)

    def _split(self, factor: Factor) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the ties that let channels vary along one axis of a tensor only, the one with most of them.

        A view splits a row of channels into heads and dimensions, or into the rows and columns of a shuffle. Every head
        must then have as many dimensions, so all keep the same ones.
        """
        roots = self.roots[factor]
        axes = [axis for axis in range(factor.ndim) if (roots != roots.take([0], axis)).any()]
        if len(axes) < 2 or not self.groups_of(roots):
            return None

        def num_channels(axis: int) -> tuple[int, int]:
            line = roots[tuple(slice(None) if a == axis else 0 for a in range(factor.ndim))]
            return np.unique(line).size, axis

        along = max(axes, key=num_channels)
        first = factor[tuple(slice(None) if a == along else slice(0, 1) for a in range(factor.ndim))]
        a, b = np.broadcast_arrays(factor, first)
        return a.ravel(), b.ravel()

    def _shape(self, ref: Ref) -> tuple[Extent, ...]:
        sizes = self.recording.tensors[ref.index].shape
        key = id(self.labelling[ref]), sizes
        if key not in self._shapes:
            self._shapes[key] = tuple(self._extent(ref, axis) for axis in range(len(sizes)))
        return self._shapes[key]

    def _where(self, ref: Ref) -> str:
        return next((op.module for op in self.recording.ops if ref in op.outputs), "")

    def _build(self, module: nn.Module) -> ChannelGraph:
        recording = self.recording
        tensors = {
            name: tuple(self._axis(name, axis, size) for axis, size in enumerate(recording.tensors[ref.index].shape))
            for name, ref in recording.parameters.items()
        }
        in_use_order = {name: tensors[name] for name, _ in self._rows} | tensors
        shapes = [self._shape(Ref(i)) for i in range(len(recording.tensors))]
        every_name = [
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        ]
        positions = self._num_positions()
        first_name = {id(tensor): name for name, tensor in reversed(every_name)}
        return ChannelGraph(
            groups={
                name: ChannelGroup(name, self._sizes[g], positions=positions[g]) for g, name in enumerate(self._names)
            },
            tensors=in_use_order,
            parameters=frozenset(name for name, _ in module.named_parameters()),
            itemsizes={name: recording.tensors[ref.index].itemsize for name, ref in recording.parameters.items()},
            aliases={name: first_name[id(t)] for name, t in every_name if first_name[id(t)] != name},
            attributes=self._attributes(shapes),
            ops=tuple(recording.ops),
            shapes=tuple(
                TensorShape(shape, tensor.itemsize, tensor.storage, labels.weight)
                for shape, tensor, labels in zip(shapes, recording.tensors, self.labelling.labels, strict=True)
            ),
            module_types={path: cls.__name__ for path, cls in recording.module_types.items()},
            fixed=self._fixed(),
        )

    def _attributes(self, shapes: Sequence[tuple[Extent, ...]]) -> dict[str, dict[str, Extent | tuple[Extent, ...]]]:
        """Return the sizes that modules hold as attributes and that depend on a plan."""
        result = _module_attributes(self.recording.calls, shapes)

        def extent(size: SizeOf | int) -> Extent:
            return Extent(size) if isinstance(size, int) else shapes[size.ref.index][size.axis]

        for (path, attribute), size in self.labelling.sizes.items():
            value = tuple(map(extent, size)) if isinstance(size, tuple) else extent(size)
            if any(e.factors for e in (value if isinstance(value, tuple) else (value,))):
                result.setdefault(path, {})[attribute] = value
        return result

    def _fixed(self) -> tuple[FixedChannels, ...]:
        """Return the channels that no plan removes, by the layer that produces them, each with its first reason."""
        labelling = self.labelling
        apart = components(
            labelling.num_atoms,
            [(a, b) for a, b, _ in labelling.ties if (a != FIXED).all() and (b != FIXED).all()],
        )
        reason_of = np.full(labelling.num_atoms, -1)
        first = reasons(labelling)
        for number, fix in enumerate(labelling.fixes):
            reason_of[apart[fix.atoms[first[fix.atoms] == number]]] = number
        unknown = Fix(np.array([]), "meets channels that cannot be removed", "", unfollowed=False)
        fixed = []
        for (name, axis), row in self._rows.items():
            role = self._roles.get((name, axis))
            atoms = labelling.atoms_of(name, axis)
            assert atoms is not None
            stay = atoms[row == FIXED]
            if role in ("out", None) and stay.size:
                number = reason_of[apart[stay[0]]]
                fix = labelling.fixes[number] if number >= 0 else unknown
                layer = layer_of(name) if role else name
                fixed.append(FixedChannels(layer, stay.size, fix.reason, fix.unfollowed, fix.module))
            few = int(np.count_nonzero((row != FIXED) & (self._group[row] < 0)))
            if role in ("out", None) and few > 2:
                reason = "other layers tie them to fewer than three, which all stay"
                fixed.append(FixedChannels(layer_of(name) if role else name, few, reason, unfollowed=False, where=""))
        return tuple(fixed)


def layer_of(name: str) -> str:
    """Return the path of the layer that owns a ``weight`` or ``bias``; for any other tensor, its own name."""
    layer, is_parametrized, _ = name.partition(".parametrizations.")
    path, _, leaf = name.rpartition(".")
    return layer if is_parametrized else path if path and leaf.startswith(("weight", "bias")) else name


def _axis_roles(labelling: Labelling) -> dict[tuple[str, int], str]:
    role_of: dict[int, str] = {}
    for atoms, role in labelling.roles:
        role_of.setdefault(int(atoms[0]), role)
    return {key: role_of[start] for key, start in labelling.starts.items() if start in role_of}


def _axes_in_order_of_use(labelling: Labelling) -> list[tuple[str, int]]:
    recording = labelling.recording
    first_use: dict[str, int] = {}
    for i, op in enumerate(recording.ops):
        for ref in op.inputs:
            first_use.setdefault(recording.tensors[ref.index].name, i)
    return sorted(labelling.starts, key=lambda key: (first_use.get(key[0], len(recording.ops)), key[1]))


def _module_attributes(
    calls: Sequence[ModuleCall], shapes: Sequence[tuple[Extent, ...]]
) -> dict[str, dict[str, Extent | tuple[Extent, ...]]]:
    """Return the size attributes of torch's own layers that depend on a plan."""
    result: dict[str, dict[str, Extent | tuple[Extent, ...]]] = {}
    for call in calls:
        layer, x, y = call.module, shapes[call.input.index], shapes[call.output.index]
        found: dict[str, Extent | tuple[Extent, ...]] = {}
        if isinstance(layer, nn.modules.conv._ConvNd):
            channel_axis = -len(layer.kernel_size) - 1
            found = {"in_channels": x[channel_axis], "out_channels": y[channel_axis]}
            if layer.groups == layer.in_channels:
                found["groups"] = x[channel_axis]
        elif isinstance(layer, nn.Linear):
            found = {"in_features": x[-1], "out_features": y[-1]}
        elif isinstance(layer, nn.modules.batchnorm._NormBase):
            found = {"num_features": x[1]}
        elif isinstance(layer, nn.GroupNorm):
            found = {"num_channels": x[1]}
            if layer.num_groups == layer.num_channels:
                found["num_groups"] = x[1]
        elif isinstance(layer, nn.LayerNorm | nn.RMSNorm):
            found = {"normalized_shape": x[-len(layer.normalized_shape) :]}
        elif isinstance(layer, nn.PReLU) and layer.num_parameters > 1:
            found = {"num_parameters": x[1]}
        elif isinstance(layer, nn.MultiheadAttention):
            found = dict.fromkeys(("embed_dim", "kdim", "vdim") if layer._qkv_same_embed_dim else ("embed_dim",), x[-1])
        elif isinstance(layer, nn.Embedding):
            found = {"embedding_dim": y[-1]}
        found = {
            name: extent
            for name, extent in found.items()
            if any(e.factors for e in (extent if isinstance(extent, tuple) else (extent,)))
        }
        if found:
            result[call.path] = found
    return result
