"""Labels: the channel of every position of a tensor, propagated through a recorded forward pass.

Every position along every axis of every parameter gets an *atom* of its own. Operations carry atoms along (a
convolution's output channels bear the atoms of its filters) and tie atoms together (a sum ties the channels of its
two terms). After the last operation the sets of tied atoms are the channels that can only be kept or removed together.

A tensor's labels are a few *factors*: integer arrays of the tensor's rank, of size 1 along every axis on which they
do not depend, and otherwise of one period along axes on which they repeat (windows that are merged with heads). An
activation has one factor of shape ``(1, C, 1, 1)``; a dense kernel has two, ``(O, 1, 1, 1)`` and
``(1, I, 1, 1)``; the output of a linear layer viewed as ``(b, c, h, w)`` has one of shape ``(1, c, h, w)`` until a
convolution ties its spatial positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import lcm

import numpy as np

from gancompress.channels.recording import Recording, Ref

FIXED = 0
"""The atom of positions that no plan may remove."""

Factor = np.ndarray


@dataclass(frozen=True)
class Labels:
    """Channel labels of one tensor.

    Attributes:
        factors: Integer arrays of atoms, as the docstring of the module describes.
        flexible: Axes on which the tensor is constant or random and takes its size from another tensor: broadcast
            dimensions, ``ones_like``, noise. Ties along them fix nothing. Each maps to the atoms that give it its
            size, or None if they are unknown.
        weight: Whether it is computed from parameters alone.
    """

    factors: tuple[Factor, ...] = ()
    flexible: Mapping[int, np.ndarray | None] = field(default_factory=dict)
    weight: bool = False


@dataclass(frozen=True)
class Fix:
    """Atoms that were fixed, with the reason."""

    atoms: np.ndarray
    reason: str
    module: str
    unfollowed: bool


@dataclass(frozen=True)
class SizeOf:
    """Size of one axis of a recorded tensor."""

    ref: Ref
    axis: int


@dataclass
class Labelling:
    """Labels of every tensor of a recorded forward pass, and the ties between atoms that its operations made.

    ``sizes`` maps (module path, attribute) to the axis whose size the attribute holds; a tuple has an entry for each of
    its numbers.
    """

    recording: Recording
    labels: list[Labels]
    starts: dict[tuple[str, int], int] = field(default_factory=dict)
    num_atoms: int = 1
    ties: list[tuple[np.ndarray, np.ndarray, int]] = field(default_factory=list)
    fixes: list[Fix] = field(default_factory=list)
    roles: list[tuple[np.ndarray, str]] = field(default_factory=list)
    sizes: dict[tuple[str, str], SizeOf | tuple[SizeOf | int, ...]] = field(default_factory=dict)
    op_index: int = 0

    def __getitem__(self, ref: Ref) -> Labels:
        return self.labels[ref.index]

    def shape(self, ref: Ref) -> tuple[int, ...]:
        """Return the recorded shape of a tensor."""
        return self.recording.tensors[ref.index].shape

    def atoms_of(self, name: str, axis: int) -> np.ndarray | None:
        """Return the atoms of an axis of a parameter; None if it has none."""
        start = self.starts.get((name, axis))
        if start is None:
            return None
        return np.arange(start, start + self.shape(self.recording.parameters[name])[axis])

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """Tie two arrays of atoms position by position, after broadcasting: each pair is one channel."""
        a, b = (x.ravel() for x in np.broadcast_arrays(*aligned_periods(a, b)))
        differ = a != b
        if differ.any():
            self.ties.append((a[differ], b[differ], self.op_index))

    def fix(self, atoms: np.ndarray, reason: str, *, unfollowed: bool = False) -> None:
        """Fix channels: no plan may remove them."""
        module = self.recording.ops[self.op_index].module if self.op_index < len(self.recording.ops) else ""
        atoms = np.unique(atoms)
        self.fixes.append(Fix(atoms, reason, module, unfollowed))
        self.tie(atoms, np.array(FIXED))

    def fix_tensor(self, ref: Ref, reason: str, *, unfollowed: bool = False) -> None:
        """Fix every channel of a tensor: no plan may narrow it on any axis."""
        for factor in self[ref].factors:
            self.fix(factor, reason, unfollowed=unfollowed)

    def role(self, ref: Ref, atoms: np.ndarray | None, role: str) -> None:
        """Record the role of a weight's atoms.

        Roles are ``out``, ``in``, ``depthwise``, ``bias``, ``scale``, ``shift``, ``statistic`` and ``index``.
        """
        is_kernel = self.recording.ops[self.op_index].arguments.get("weight") == ref
        if atoms is not None and (self[ref].weight or is_kernel):
            self.roles.append((atoms.ravel(), role))

    def along(self, ref: Ref, axis: int) -> np.ndarray | None:
        """Return the atoms along one axis, tied over the others; None if none vary along it. Shape ``(size,)``.

        If two kinds of channels were merged into the axis, as heads and their dimensions, the smaller number stays.
        """
        axis %= len(self.shape(ref))
        factors = [f for f in self[ref].factors if f.shape[axis] > 1]
        if not factors:
            return None
        factor = max(factors, key=lambda f: np.unique(f).size)
        for other in factors:
            if other is not factor:
                self.fix(
                    other, "is merged into one axis with more channels of another kind, which are narrowed instead"
                )
        first = factor[tuple(slice(None) if i == axis else slice(0, 1) for i in range(factor.ndim))]
        self.tie(factor, first)
        return full(first, axis, self.shape(ref)[axis]).ravel()


def on_axis(atoms: np.ndarray | None, axis: int, ndim: int) -> tuple[Factor, ...]:
    """Return the factor that varies along one axis of a tensor of rank ndim; no factor for None."""
    if atoms is None or atoms.size == 1:
        return ()
    return (atoms.reshape([-1 if i == axis % ndim else 1 for i in range(ndim)]),)


def full(factor: Factor, axis: int, size: int) -> Factor:
    """Repeat a factor that depends on an axis to the size of the axis."""
    period = factor.shape[axis]
    if period in (1, size):
        return factor
    return np.tile(factor, [size // period if a == axis else 1 for a in range(factor.ndim)])


def aligned_periods(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Repeat two factors of one rank to a common period along every axis on which both vary."""
    if a.ndim == b.ndim and a.shape != b.shape:
        for axis in range(a.ndim):
            if 1 < min(a.shape[axis], b.shape[axis]) < max(a.shape[axis], b.shape[axis]):
                period = lcm(a.shape[axis], b.shape[axis])
                a, b = full(a, axis, period), full(b, axis, period)
    return a, b


def compress(factor: Factor) -> Factor:
    """Reduce a factor to size 1 along each axis on which it is constant."""
    for axis in range(factor.ndim):
        first = factor.take([0], axis) if factor.shape[axis] else factor
        if factor.shape[axis] > 1 and (factor == first).all():
            factor = first
    return factor


def varying(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    """Return the factors that depend on any axis at all, compressed."""
    return tuple(f for f in map(compress, factors) if f.size > 1)
