"""Tiles along one axis of an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Part of an axis that a tile covers, and the part of it whose output is kept, in pixels of the input.

    Attributes:
        start: First pixel of the tile.
        stop: Pixel behind its last one.
        first: First pixel whose output is kept.
        behind: Pixel behind the last one whose output is kept.
    """

    start: int
    stop: int
    first: int
    behind: int


def spans(length: int, side: int, overlap: int) -> list[Span]:
    """Cover an axis by tiles of one length, so that what is kept of a tile does not depend on pixels outside of it.

    The ends of the axis are ends of tiles, so that the network's own padding is at the ends of the image alone. The
    last tile ends with the axis and covers more of the tile before it.

    Args:
        length: Length of the axis.
        side: Length of a tile, more than twice the overlap; an axis that is no longer is one tile.
        overlap: Pixels at an inner end of a tile whose output is not kept.
    """
    if length <= side:
        return [Span(0, length, 0, length)]
    starts = [*range(0, length - side, side - 2 * overlap), length - side]
    firsts = [0, *(start + overlap for start in starts[1:])]
    return [
        Span(start, start + side, first, behind)
        for start, first, behind in zip(starts, firsts, [*firsts[1:], length], strict=True)
    ]
