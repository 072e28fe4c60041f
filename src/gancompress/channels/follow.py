"""Propagation of channel labels from the parameters through every operation of a recorded forward pass."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from torch.nn.modules.conv import _ConvNd

from gancompress.channels.labels import Factor, Labelling, Labels, aligned_periods, on_axis
from gancompress.channels.recording import RecordedOp, Recording, Ref
from gancompress.channels.rules import apply_rule
from gancompress.channels.rules.attention import tie_multihead_attention


def follow(recording: Recording) -> Labelling:
    """Propagate labels through a recorded forward pass, up to its end or to the operation that failed."""
    labelling = Labelling(recording, [Labels() for _ in recording.tensors])
    for name, ref in recording.parameters.items():
        shape = labelling.shape(ref)
        factors: tuple[Factor, ...] = ()
        for axis in _labelled_axes(recording, name, shape):
            labelling.starts[name, axis] = labelling.num_atoms
            atoms = np.arange(labelling.num_atoms, labelling.num_atoms + shape[axis])
            labelling.num_atoms += shape[axis]
            factors += on_axis(atoms, axis, len(shape))
        labelling.labels[ref.index] = Labels(factors, weight=True)
    for index, op in enumerate(recording.ops):
        labelling.op_index = index
        results = apply_rule(labelling, op)
        for ref, result in zip(op.outputs, results, strict=True):
            _assign(labelling, op, ref, result)
    labelling.op_index = len(recording.ops)
    tie_multihead_attention(labelling)
    for name, ref in recording.parameters.items():
        if _keeps_channels(recording, name):
            labelling.fix_tensor(ref, "belongs to a part that keeps its channels")
    if recording.failure is None:
        used = {ref for op in recording.ops for ref in op.inputs}
        for ref in recording.parameters.values():
            if ref not in used:
                labelling.fix_tensor(ref, "takes no part in the forward pass in eval mode", unfollowed=True)
    for ref in recording.outputs:
        labelling.fix_tensor(ref, "reaches the output")
    return labelling


def _keeps_channels(recording: Recording, name: str) -> bool:
    """Return whether a module around the parameter sets ``keeps_channels``, so that no plan narrows it."""
    path = name
    while path:
        path = path.rpartition(".")[0]
        if getattr(recording.module_types.get(path), "keeps_channels", False):
            return True
    return False


def _labelled_axes(recording: Recording, name: str, shape: tuple[int, ...]) -> list[int]:
    """Return the axes of a parameter that can carry channels: not those of size 1, of kernel taps, or of an image."""
    path = name.rpartition(".")[0].partition(".parametrizations")[0].removeprefix("parametrizations")
    is_kernel = issubclass(recording.module_types.get(path, object), _ConvNd)
    num_image_axes = 2 if len(shape) > 3 else 0
    end = 2 if is_kernel else len(shape) - num_image_axes
    return [axis for axis, size in enumerate(shape[:end]) if size > 1]


def _assign(labelling: Labelling, op: RecordedOp, ref: Ref, result: Labels) -> None:
    """Set the labels of a tensor; after an in-place write, update or fix the views of its storage too."""
    before = labelling[ref]
    labelling.labels[ref.index] = result
    if ref not in op.writes:
        return
    storage = labelling.recording.tensors[ref.index].storage
    others = [Ref(i) for i, t in enumerate(labelling.recording.tensors) if t.storage == storage and i != ref.index]
    if not others:
        return
    for alias in (ref, *others):  # no longer the same everywhere
        labels = labelling[alias]
        labelling.labels[alias.index] = Labels(labels.factors, weight=labels.weight)
    unchanged = len(before.factors) == len(result.factors) and all(
        a.shape == b.shape and (a == b).all()
        for a, b in itertools.starmap(aligned_periods, zip(before.factors, result.factors, strict=True))
    )
    if not unchanged:
        labelling.fix_tensor(ref, "is written into a part of another tensor", unfollowed=True)
        for alias in others:
            labelling.fix_tensor(alias, "is written in part", unfollowed=True)


def components(
    num_atoms: int, ties: Sequence[tuple[np.ndarray, np.ndarray]], root: np.ndarray | None = None
) -> np.ndarray:
    """Return the smallest atom of every atom's set of tied atoms. Shape ``(num_atoms,)``.

    Args:
        num_atoms: Number of atoms.
        ties: Arrays of atoms that are tied position by position.
        root: Result for earlier ties, which hold too.
    """
    root = np.arange(num_atoms) if root is None else root.copy()
    if not ties:
        return root
    a = root[np.concatenate([tie[0] for tie in ties])]
    b = root[np.concatenate([tie[1] for tie in ties])]
    while (apart := a != b).any():
        low, high = np.divmod(np.unique(np.minimum(a, b)[apart] * num_atoms + np.maximum(a, b)[apart]), num_atoms)
        np.minimum.at(root, high, low)
        while (root != (root := root[root])).any():
            pass
        a, b = root[low], root[high]
    return root


def reasons(labelling: Labelling) -> np.ndarray:
    """Return the number of the first fix of every atom that was fixed directly rather than through a tie, else -1."""
    first = np.full(labelling.num_atoms, -1)
    for number in reversed(range(len(labelling.fixes))):
        first[labelling.fixes[number].atoms] = number
    return first
