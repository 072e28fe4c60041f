"""Verification of a channel graph: narrow every group, record again, and compare the pairs of channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from gancompress.channels.follow import follow
from gancompress.channels.graph import ChannelGraph
from gancompress.channels.grouping import Grouping
from gancompress.channels.labels import Fix, Labelling
from gancompress.channels.narrow import narrow_shapes
from gancompress.channels.plan import ChannelPlan
from gancompress.channels.recording import Ref, record
from gancompress.channels.subnetwork import structure_at


def find_conflicts(module: nn.Module, inputs: Sequence[Any], labelling: Labelling, grouping: Grouping) -> list[Fix]:
    """Return fixes for groups that a narrower network treats differently from the graph; empty if the graph holds.

    Args:
        module: The module that was recorded.
        inputs: The inputs that it was recorded with.
        labelling: The labels of that recording.
        grouping: The groups read from them.
    """
    if not grouping.graph.groups:
        return []
    for plan in different_widths(grouping.graph):
        check = _Check(module, inputs, labelling, grouping, plan)
        conflicts = check.other_pairs() or check.other_steps() or check.broken_off()
        if conflicts:
            return conflicts
    return []


class _Check:
    """Second recording at narrower widths, compared with the prediction of the graph."""

    def __init__(
        self, module: nn.Module, inputs: Sequence[Any], labelling: Labelling, grouping: Grouping, plan: ChannelPlan
    ) -> None:
        self.grouping, self.wide, self.plan = grouping, labelling, plan
        graph = grouping.graph
        shapes = narrow_shapes(graph, self.plan)
        self.recording = record(structure_at(module, graph, self.plan), inputs, shapes)
        self.narrow = follow(self.recording)
        self.channel = np.zeros(self.narrow.num_atoms, dtype=np.int64)
        """For every atom of the narrow recording, the corresponding channel of the wide network."""
        leading = {group: np.arange(width) for group, width in self.plan.widths.items()}
        for (name, axis), start in self.narrow.starts.items():
            kept = graph.tensors[name][axis].kept(leading)
            atoms = labelling.atoms_of(name, axis)
            assert atoms is not None
            self.channel[start : start + kept.size] = grouping.roots[atoms][kept]

    def other_pairs(self) -> list[Fix]:
        """Return a fix for channels that are paired with other channels than in the wide network."""
        for a, b, op_index in self.narrow.ties:
            first, second = self.channel[a], self.channel[b]
            differ = first != second
            if differ.any():
                groups = self.grouping.groups_of(np.concatenate([first[differ], second[differ]]))
                where = self.recording.ops[op_index].module if op_index < len(self.recording.ops) else ""
                reason = "a narrower network would pair its channels with other ones"
                return [self.grouping.conflict(groups, reason, where)]
        return []

    def other_steps(self) -> list[Fix]:
        """Return a fix for the first step whose operation or result shape differs from the predicted one."""
        for before, after in zip(self.wide.recording.ops, self.recording.ops, strict=False):
            for old, new in zip(before.outputs, after.outputs, strict=False):
                expected, got = self._expected_shape(old), self.narrow.shape(new)
                same = all(e is None or e == n for e, n in zip(expected, got, strict=False))
                if before.name != after.name or len(expected) != len(got) or not same:
                    text = f"a narrower network would run {after.name} to shape {got}, not {before.name} to {expected}"
                    return self._blame((*after.outputs, *after.inputs), text, after.module)
        if self.recording.failure is None and len(self.recording.ops) != len(self.wide.recording.ops):
            return self._blame((), "a narrower network would take another number of steps", "")
        return []

    def broken_off(self) -> list[Fix]:
        """Return a fix for the exception that the narrower network raised, if any."""
        failure = self.recording.failure
        if failure is None:
            return []
        cause = (str(failure.error).strip().splitlines() or [type(failure.error).__name__])[0]
        return self._blame(failure.at_hand, f"a size is written as a constant ({cause[:120]})", failure.module)

    def _expected_shape(self, ref: Ref) -> tuple[int | None, ...]:
        """Return the predicted shape of a tensor; None for an axis of unknown size."""
        unknown = {axis for axis, atoms in self.wide[ref].flexible.items() if atoms is None}
        extents = self.grouping.graph.shapes[ref.index].extents
        return tuple(None if axis in unknown else e.at(self.plan.widths) for axis, e in enumerate(extents))

    def _blame(self, refs: Sequence[Ref], reason: str, where: str) -> list[Fix]:
        """Fix the groups that lie on these tensors of the narrow recording; all groups if none does."""
        atoms = [factor.ravel() for ref in refs for factor in self.narrow[ref].factors]
        atoms += [sizes for ref in refs for sizes in self.narrow[ref].flexible.values() if sizes is not None]
        groups = self.grouping.groups_of(self.channel[np.concatenate(atoms)]) if atoms else set()
        return [self.grouping.conflict(groups or self.grouping.all_groups(), reason, where)]


def different_widths(graph: ChannelGraph) -> Iterator[ChannelPlan]:
    """Yield plans such that any two groups of one size have different widths in at least one of them.

    Every plan narrows all groups, as differently as their size allows; the next one separates those that had the same
    width. In the first one, few widths explain one another (11 of 12 channels beside 15 of 16, for ``c * 3 // 4``).
    If some do, there is a second one, for groups that agree by chance.
    """
    alike: dict[str, tuple[int, ...]] = {name: (group.size,) for name, group in graph.groups.items()}
    widths, by_chance = _test_widths(graph, alike, first=True)
    yield ChannelPlan(widths)
    while True:
        alike = {name: (*alike[name], width) for name, width in widths.items()}
        if len(set(alike.values())) == len(alike) and not by_chance:
            return
        widths, _ = _test_widths(graph, alike, first=False)
        by_chance = False
        yield ChannelPlan(widths)


def _test_widths(
    graph: ChannelGraph, alike: Mapping[str, tuple[int, ...]], *, first: bool
) -> tuple[dict[str, int], bool]:
    """Return the widths of a test plan, different among groups alike, and whether another explains one of them.

    Args:
        graph: The graph whose groups it narrows.
        alike: By group, its size and its widths in the plans before.
        first: Whether it is the first plan. In later ones, groups that are alike take any width.
    """
    choosy = {key for key, count in Counter(alike.values()).items() if first or count == 1}
    number: Counter[tuple[int, ...]] = Counter()
    widths: dict[str, int] = {}
    taken: dict[int, set[int]] = {}
    by_chance = False
    for name, group in graph.groups.items():
        key = alike[name]
        tries = _tries(group.size, number[key])
        free = (i for i, width in enumerate(tries) if key not in choosy or not _is_explained(width, group.size, taken))
        at = next(free, None)
        by_chance |= at is None
        widths[name] = tries[at or 0]
        number[key] += (at or 0) + 1
        taken.setdefault(group.size, set()).add(widths[name])
    return widths, by_chance


_MOST_TRIES = 8
"""Widths tried for a group before one that another explains is taken."""


def _tries(size: int, number: int) -> list[int]:
    """Return widths for a group of a size, the first one different for each of the first few numbers."""
    if size < 4:
        return [size - (number + 1) % 2]
    step = 7 if (size // 2) % 7 else 1  # neighbours differ by more than one channel
    return [size - 1 - step * (number + i) % (size // 2) for i in range(min(_MOST_TRIES, size // 2))]


def _is_explained(width: int, size: int, taken: Mapping[int, set[int]]) -> bool:
    """Return whether a width of a group of another size is in proportion to this one, or this one to it."""
    return any(
        width * other // size in widths or any(each * size // other == width for each in widths)
        for other, widths in taken.items()
        if other != size
    )
