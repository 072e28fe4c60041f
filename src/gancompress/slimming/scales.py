"""Scale of every prunable channel: the sparsity penalty shrinks it, and a channel at 0 is dead.

A group whose channels all pass an affine norm before anything reads them is scaled by that norm's gamma, as in the
paper. Any other group gets an extra scale on the weights that read it, initially 1: it changes nothing until it is
trained and needs no norm, and no layer reads a channel whose scale is 0. A residual block may have a scale too, its
gate (`gancompress.slimming.gates`).

Source: Wang et al., GAN Slimming, ECCV 2020, section 3.2; Liu et al., Network Slimming, ICCV 2017. Joint scale of
channels that several norms write: group lasso, Yuan and Lin, 2006.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.channels import Axis, ChannelGraph
from gancompress.slimming.gates import Gate
from gancompress.slimming.removal import Removal, can_fold

Kind = Literal["norm", "reader"]
Places = tuple[tuple[str, int, Tensor], ...]


@dataclass(frozen=True)
class ScaledGroup:
    """A group of channels and the tensors that scale it.

    Attributes:
        name: Name of the group.
        size: Number of its channels.
        minimum: Number of channels that it always keeps.
        kind: ``norm`` if gammas of the network scale it, ``reader`` if an extra scale does.
        places: Tensors that carry the scale (gammas, or the weights that read the group): name and axis number, and
            for each channel its positions on that axis, int64 [size, repeats].
        shifts: Shifts of norms that must be 0 too before a channel is dead, in the same form.
    """

    name: str
    size: int
    minimum: int
    kind: Kind
    places: Places
    shifts: Places = ()

    def within(self, graph: ChannelGraph) -> ScaledGroup:
        """Return the same group of a narrower network.

        Args:
            graph: The narrow network's graph.
        """
        places = _places(graph, self.name, "scale" if self.kind == "norm" else "in")
        shifts = _places(graph, self.name, "shift") if self.shifts else ()
        return replace(self, size=graph.groups[self.name].size, places=places, shifts=shifts)


class ChannelScales(nn.Module):
    """Scales of a network's prunable groups and blocks; its parameters are gates, and scales of groups without a norm.

    The magnitude of a channel is the root mean square of its scales, in a unit such that the initial magnitudes of
    every group are evenly spread from 0 to 2, in the order of the scales or, where the extra scales are all 1, of the
    norms of the weights that they scale. Only then are groups comparable: later norms undo a factor on a whole group, a
    stream has many scales, and a group of nearly equal scales would stay until it falls all at once. A penalty then
    starts like a uniform cut, and the gradients of the loss change it. If all scales of a group are equal, as all
    gammas are 1 at the start in the paper, they share one unit, and the magnitudes start at 1.

    The gates of a network are one such group, in the order of their strengths.

    Attributes:
        groups: The scaled groups.
        gates: The gates of residual blocks.
        readers: The scales of groups without a norm.
        blocks: The values of the gates, each of shape ``(1,)``, initially 1.
        units: Units of the scales of each group, ``(size,)``, and of each gate, ``(1,)``; they never change.
    """

    def __init__(self, module: nn.Module, groups: Sequence[ScaledGroup], gates: Sequence[Gate] = ()) -> None:
        """Measure the scales of a network.

        Args:
            module: The network, on any device; it is not changed.
            groups: The scaled groups; see `scaled_groups`.
            gates: The gates; see `gancompress.slimming.gates.find_gates`.
        """
        super().__init__()
        self.groups, self.gates = tuple(groups), tuple(gates)
        device = next(module.parameters()).device
        self.readers = nn.ParameterDict(
            {_key(group.name): nn.Parameter(torch.ones(group.size, device=device)) for group in self._of_kind("reader")}
        )
        self.blocks = nn.ParameterDict({_key(gate.name): nn.Parameter(torch.ones(1, device=device)) for gate in gates})
        self.units = nn.Module()
        tensors = dict(module.named_parameters())
        for group in self.groups:
            self.units.register_buffer(_key(group.name), self._unit(group, tensors))
        strengths = torch.tensor([gate.strength for gate in gates], device=device)
        for gate, unit in zip(gates, _spread(torch.ones_like(strengths), strengths), strict=True):
            self.units.register_buffer(_key(gate.name), unit[None].clone())

    def gammas(self) -> list[str]:
        """Return the names of the network's parameters that are scales."""
        return list(dict.fromkeys(name for group in self._of_kind("norm") for name, _, _ in group.places))

    @property
    def has_parameters(self) -> bool:
        """True if it has scales of its own, beside the gammas of the network."""
        return bool(self.readers) or bool(self.blocks)

    def rates(self, learning_rate: float) -> list[dict[str, Any]]:
        """Return the gates as parameter groups of an optimizer.

        A gate moves as the mean of the channels that it multiplies would, so the penalty weighs it as so many channels.

        Args:
            learning_rate: Learning rate of the scale of a channel.
        """
        return [{"params": [self._gate(gate)], "lr": learning_rate / gate.num_channels} for gate in self.gates]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scaled groups and of the blocks with a gate."""
        return tuple(each.name for each in (*self.groups, *self.gates))

    @torch.no_grad()
    def magnitudes(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the magnitude of each channel, at least 0, ``(size,)`` for each group, and of each gate, ``(1,)``.

        Args:
            tensors: The network's parameters by name.
        """
        channels = {group.name: self._magnitude(group, tensors) for group in self.groups}
        return channels | {gate.name: self._gate(gate).abs() / self._unit_of(gate) for gate in self.gates}

    @torch.no_grad()
    def shrink(self, tensors: Mapping[str, Tensor], amount: float, shift_amount: float | None = None) -> None:
        """Take the proximal step of ``amount`` times the sum of magnitudes, in place (soft threshold).

        The strongest channels of a group, as many as it always keeps, are spared: they cost the same at 0, and a norm
        behind a layer of zeros lets gradients explode.

        Args:
            tensors: The network's parameters by name.
            amount: Weight of the penalty times the current learning rate, at least 0.
            shift_amount: Shrinkage of the shifts of channels without a scale whose constant no bias can hold;
                ``amount`` by default.
        """
        shift_amount = amount if shift_amount is None else shift_amount
        for group in self.groups:
            magnitude = self._magnitude(group, tensors)
            factor = (1 - amount / magnitude.clamp_min(torch.finfo(magnitude.dtype).tiny)).clamp_min(0)
            factor[magnitude.topk(group.minimum).indices] = 1
            for tensor, positions in self._carriers(group, tensors):
                tensor[positions.flatten()] *= factor.repeat_interleave(positions.shape[1])
            for name, _, positions in group.shifts:
                shift = tensors[name][positions]
                shrunk = torch.nn.functional.softshrink(shift, shift_amount * float(self._unit_of(group).mean()))
                tensors[name][positions] = torch.where(((magnitude == 0) | (factor == 0))[:, None], shrunk, shift)
        for gate in self.gates:
            value = self._gate(gate)
            value.copy_(torch.nn.functional.softshrink(value, amount * float(self._unit_of(gate))))

    def dead(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return, for each group, the channels whose only output is a constant that can be folded, bool ``(size,)``.

        And for each block with a gate whether it adds nothing, bool ``(1,)``.
        """
        dead = {name: magnitude == 0 for name, magnitude in self.magnitudes(tensors).items()}
        for group in self.groups:
            for name, _, positions in group.shifts:
                dead[group.name] &= (tensors[name][positions.to(tensors[name].device)] == 0).all(1)
        return dead

    def applied(self, tensors: Mapping[str, Tensor], names: Container[str] | None = None) -> dict[str, Tensor]:
        """Return the effective tensors of the network: weights that read a group times its scale, layers times a gate.

        Args:
            tensors: The network's parameters by name.
            names: Names of the groups and blocks whose scales are applied; all by default.
        """
        result = dict(tensors)
        for group in (g for g in self._of_kind("reader") if names is None or g.name in names):
            scale = self.readers[_key(group.name)]
            for name, number, positions in group.places:
                weight = result[name]
                factor = scale.new_ones(weight.shape[number])
                factor = factor.index_put((positions.flatten(),), scale.repeat_interleave(positions.shape[1]))
                result[name] = weight * factor.view([-1 if n == number else 1 for n in range(weight.ndim)])
        for gate in (each for each in self.gates if names is None or each.name in names):
            result |= {name: result[name] * self._gate(gate)[0] for name in gate.tensors}
        return result

    def kept(self, tensors: Mapping[str, Tensor], removal: Removal) -> dict[str, Tensor]:
        """Return the kept part of tensors with the names and shapes of its own parameters and buffers."""
        names = {f"{kind}.{_key(group.name)}": group.name for group in self.groups for kind in ("readers", "units")}
        kept = {key: torch.from_numpy(removal.kept[name]) for key, name in names.items() if name in removal.order}
        return {key: tensor[kept[key].to(tensor.device)] if key in kept else tensor for key, tensor in tensors.items()}

    def take(self, wide: ChannelScales, removal: Removal) -> None:
        """Copy the kept scales from those of the network before a removal."""
        before = wide.kept(wide.state_dict(), removal)
        self.load_state_dict({key: before[key] for key in self.state_dict()})

    def _of_kind(self, kind: Kind) -> list[ScaledGroup]:
        return [group for group in self.groups if group.kind == kind]

    def _carriers(self, group: ScaledGroup, tensors: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return the scales of a group, with each channel's positions in them, [size, repeats]."""
        if group.kind == "reader":
            scale = self.readers[_key(group.name)]
            return [(scale, torch.arange(group.size, device=scale.device)[:, None])]
        return [(tensors[name], positions.to(tensors[name].device)) for name, _, positions in group.places]

    def _magnitude(self, group: ScaledGroup, tensors: Mapping[str, Tensor]) -> Tensor:
        return self._scale(group, tensors) / self._unit_of(group)

    def _scale(self, group: ScaledGroup, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the root mean square of every channel's scales, shape ``(size,)``."""
        scales = [tensor[positions] for tensor, positions in self._carriers(group, tensors)]
        return torch.cat(scales, 1).square().mean(1).sqrt()

    def _gate(self, gate: Gate) -> Tensor:
        return self.blocks[_key(gate.name)]

    def _unit_of(self, scaled: ScaledGroup | Gate) -> Tensor:
        return self.units.get_buffer(_key(scaled.name))

    @torch.no_grad()
    def _unit(self, group: ScaledGroup, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the units in which the magnitudes are evenly spread, ``(size,)``."""
        scale = self._scale(group, tensors)
        strength = scale if group.kind == "norm" else self._weight_norms(group, tensors)
        return _spread(scale, strength)

    @staticmethod
    def _weight_norms(group: ScaledGroup, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the norm of all weights that read a channel, ``(size,)``."""
        squares = torch.zeros(group.size)
        for name, axis, positions in group.places:
            each = tensors[name].movedim(axis, 0).flatten(1).square().sum(1)
            squares = squares.to(each.device) + each[positions.to(each.device)].sum(1)
        return squares.sqrt()


def _spread(scale: Tensor, strength: Tensor) -> Tensor:
    """Return the units of scales in which the magnitudes are evenly spread in the order of the strengths, ``(size,)``.

    If all strengths are equal, the units are the scales.
    """
    scale = scale.clamp_min(torch.finfo(scale.dtype).tiny)
    mean = strength.mean()
    if not len(scale) or (strength - mean).abs().max() <= 1e-6 * mean:
        return scale
    ranks = strength.argsort(stable=True).argsort()
    return scale * len(scale) / (2 * ranks + 1)


def _key(name: str) -> str:
    """Return the name of a group or block as a valid parameter name."""
    return name.replace(".", "/")


def scaled_groups(
    module: nn.Module, graph: ChannelGraph, example: Sequence[Tensor], streams: bool = False
) -> tuple[ScaledGroup, ...]:
    """Find the scales of each group of a network; groups at their narrowest have none.

    Args:
        module: The network, on any device; it is not changed.
        graph: Its graph.
        example: Example inputs, batch of 1.
        streams: Whether groups that several layers write, such as residual streams, have a scale too.
    """
    scaled = []
    for name, group in graph.groups.items():
        writers = {tensor for tensor, _, axis in graph.members(name, ("out",)) if axis.role == "out"}
        if group.minimum == group.size or (len(writers) > 1 and not streams):
            continue
        gammas = _places(graph, name, "scale")
        if gammas and _norms_guard(module, writers, gammas, example):
            shifts = () if _can_fold(module, graph, name) else _places(graph, name, "shift")
            scaled.append(ScaledGroup(name, group.size, group.minimum, "norm", gammas, shifts))
        elif readers := _places(graph, name, "in"):
            scaled.append(ScaledGroup(name, group.size, group.minimum, "reader", readers))
    return tuple(scaled)


def _can_fold(module: nn.Module, graph: ChannelGraph, group: str) -> bool:
    readers = [tensor.rpartition(".")[0] for tensor, _, _ in graph.members(group, ("in",))]
    return all(can_fold(module.get_submodule(path)) for path in readers)


def _places(graph: ChannelGraph, group: str, role: str) -> Places:
    members = graph.members(group, (role,))
    return tuple((name, number, _positions(axis, group, graph.groups[group].size)) for name, number, axis in members)


def _positions(axis: Axis, group: str, size: int) -> Tensor:
    """Return the positions of each channel of a group on an axis, int64 [size, repeats]."""
    columns, offset = [], 0
    for segment in axis.segments:
        if segment.group == group:
            columns.append(offset + np.arange(segment.size).reshape(size, segment.repeat))
        offset += segment.size
    return torch.from_numpy(np.concatenate(columns, 1))


def _norms_guard(module: nn.Module, writers: set[str], gammas: Places, example: Sequence[Tensor]) -> bool:
    """Return True if the output ignores these layers once the gammas are 0, so that no path bypasses the norms."""
    parameters = {name: p.detach().clone().requires_grad_(name in writers) for name, p in module.named_parameters()}
    for name, _, positions in gammas:
        parameters[name][positions.flatten()] = 0
    watched = [parameters[name] for name in writers]
    buffers = {name: b.detach().clone() for name, b in module.named_buffers()}
    device = next(module.parameters()).device
    with torch.enable_grad():
        output = torch.func.functional_call(
            module, parameters | buffers, tuple(tensor.to(device) for tensor in example)
        )
        gradients = torch.autograd.grad(output.square().sum(), watched, allow_unused=True)
    return all(gradient is None or not gradient.any() for gradient in gradients)
