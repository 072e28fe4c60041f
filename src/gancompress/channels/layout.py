"""Layout of the positions of an axis over channel groups."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Segment:
    """Consecutive positions of an axis: every channel of one group in order, or positions that no plan removes.

    Attributes:
        group: Name of the channel group, or None for positions that no plan removes.
        channels: Channels of the group at full width, or the number of fixed positions.
        repeat: Consecutive positions that belong to each channel (4 if a linear layer feeds 2x2 maps).
    """

    group: str | None
    channels: int
    repeat: int = 1

    @property
    def size(self) -> int:
        """Number of positions at full width."""
        return self.channels * self.repeat


@dataclass(frozen=True)
class Axis:
    """One axis of a parameter or buffer.

    Attributes:
        segments: Segments from position 0 on; a group's offset is the size of the segments before it (concatenation),
            and a group that occurs twice has two segments.
        role: Role of the axis in its layer: ``out``, ``in``, ``depthwise``, ``bias``, ``scale``, ``shift``,
            ``statistic`` or, if no layer is known, empty.
    """

    segments: tuple[Segment, ...]
    role: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups on this axis, each once."""
        return tuple(dict.fromkeys(s.group for s in self.segments if s.group is not None))

    @property
    def extent(self) -> Extent:
        """Size of the axis as a linear form in the widths."""
        constant = sum(s.size for s in self.segments if s.group is None)
        factors: dict[str, int] = {}
        for s in self.segments:
            if s.group is not None:
                factors[s.group] = factors.get(s.group, 0) + s.repeat
        return Extent(constant, tuple(factors.items()))

    def narrowed(self, widths: Mapping[str, int]) -> Axis:
        """Return the axis of a network whose groups have these widths."""
        segments = (s if s.group is None else replace(s, channels=widths[s.group]) for s in self.segments)
        return replace(self, segments=tuple(segments))

    def kept(self, order: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the positions to gather, in order, so that each group holds the given channels.

        Args:
            order: Channels of each group to keep, in their new order; a group that is not named keeps all.
        """
        positions, offset = [], 0
        for s in self.segments:
            channels = order.get(s.group, np.arange(s.channels)) if s.group is not None else np.arange(s.channels)
            positions.append(offset + (channels[:, None] * s.repeat + np.arange(s.repeat)).ravel())
            offset += s.size
        return np.concatenate(positions)


@dataclass(frozen=True)
class Extent:
    """Size as a linear form in the widths of channel groups: ``constant + sum(factor * width)``."""

    constant: int
    factors: tuple[tuple[str, int], ...] = ()

    def at(self, widths: Mapping[str, int]) -> int:
        """Return the size at these widths."""
        return self.constant + sum(factor * widths[group] for group, factor in self.factors)


def decode(groups: np.ndarray, ranks: np.ndarray, sizes: Mapping[int, int]) -> list[tuple[int | None, int, int]] | None:
    """Decode the segments of an axis from the group of each position and the rank of its channel in that.

    Args:
        groups: Group numbers, -1 for a fixed position. Shape ``(size,)``.
        ranks: Numbers of the channels in their groups, 0 for a fixed position. Shape ``(size,)``.
        sizes: Channels of every group.

    Returns:
        (group number or None, channels, repeat) of each segment; None if the positions follow no such layout.
    """
    changes = np.flatnonzero((groups[1:] != groups[:-1]) | (ranks[1:] != ranks[:-1])) + 1
    ends = [*changes.tolist(), len(groups)]
    segments: list[tuple[int | None, int, int]] = []
    i = 0
    while i < len(groups):
        group, repeat = int(groups[i]), ends[bisect_right(ends, i)] - i
        if group < 0:
            segments.append((None, repeat, 1))
            i += repeat
            continue
        end = i + sizes[group] * repeat
        expected = np.repeat(np.arange(sizes[group]), repeat)
        if not (np.array_equal(ranks[i:end], expected) and (groups[i:end] == group).all()):
            return None
        segments.append((group, sizes[group], repeat))
        i = end
    return segments
