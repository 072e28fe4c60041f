"""Choice of the tiles of an image: whole, or by tiles of a size that fits the network and the memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gancompress.errors import CheckpointError, ConfigError, InputSizeError
from gancompress.networks.locality import Locality

Tiles = int | Literal["auto"] | None
"""Side of tiles in pixels of the input; "auto" chooses it, None runs images whole."""
Overlap = int | None
"""Pixels by which tiles overlap to each side; None overlaps by as many as the network looks, which is exact."""

Size = tuple[int, int]
"""Height and width in pixels."""

_WHOLE_PX = 512 * 512
_SIDE_PX = 512
_MEMORY_BYTES = 512 * 2**20
_UNKNOWN_BYTES_PER_PX = 4096
_WORTHWHILE = 4


@dataclass(frozen=True)
class TilePlan:
    """Tiles of an image.

    Attributes:
        height: Height of a tile in pixels of the input.
        width: Its width.
        overlap: Overlap to each side in pixels.
        locality: Locality of the network.
        whole_tiles: Whether the network takes no images smaller than a tile.
    """

    height: int
    width: int
    overlap: int
    locality: Locality
    whole_tiles: bool = False


def choose_tiles(
    path: Path,
    size: Size,
    fixed: Size | None,
    tiles: Tiles,
    overlap: Overlap,
    locality: Callable[[], Locality | None],
    multiple: int = 1,
) -> TilePlan | None:
    """Return the tiles of an image; None runs it whole.

    Args:
        path: The network's file, for messages.
        size: Size of the image.
        fixed: The only size that the file takes; None if sizes are free.
        tiles: The user's choice.
        overlap: The user's overlap.
        locality: Measures the locality of the network; None if it is not local.
        multiple: Divisor of the sides of whole images.

    Raises:
        ConfigError: Tiles are asked for and the network is not local, or they are too small or of another size than
            the file's.
    """
    _check(path, tiles, overlap)
    auto = tiles == "auto"
    small = fixed is None and math.prod(size) <= _WHOLE_PX and not any(side % multiple for side in size)
    if tiles is None or size == fixed or (auto and small):
        return None
    found = locality()
    if found is None:
        if auto:
            return None  # a file of one size says so itself
        raise ConfigError(
            f"{path}: got tiles of {tiles} px for a network whose pixels depend on the whole image (instance norm, "
            "attention or pooling over all of it), expected a local one; run the image whole (tiles=None, --tiles none)"
        )
    step = found.multiple_px
    used = found.overlap_px if overlap is None else -(-overlap // step) * step
    smallest = 2 * used + step
    if fixed is not None:
        _check_fixed(path, fixed, tiles, used, found)
        return TilePlan(*fixed, used, found, whole_tiles=True)
    if tiles is None or tiles == "auto":
        side = max(affordable_side(found), _WORTHWHILE * used) // step * step
        return TilePlan(side, side, used, found)
    side = tiles // step * step
    if side < smallest:
        raise ConfigError(
            f"{path}: got tiles of {tiles} px, expected at least {smallest}: they overlap by {used} px to each side, "
            f"as far as the network looks, and {step} px must be left; take larger ones, or a smaller overlap, which "
            "leaves seams"
        )
    return TilePlan(side, side, used, found)


def known_locality(path: Path, description: Any) -> Locality | None:
    """Read the locality in the metadata of a file; None if the network is not local.

    Raises:
        CheckpointError: It is something else.
    """
    if description is None:
        return None
    try:
        return Locality.from_description(description)
    except ValueError:
        raise CheckpointError(
            f"{path}: got the metadata tiles {description!r}, expected overlap_px, multiple_px and scale; export "
            "it again"
        ) from None


def _check(path: Path, tiles: Tiles, overlap: Overlap) -> None:
    if tiles not in ("auto", None) and (type(tiles) is not int or tiles < 1):
        raise ConfigError(f"{path}: got tiles={tiles!r}, expected a side in pixels, 'auto', or None for whole images")
    if overlap is not None and (type(overlap) is not int or overlap < 0):
        raise ConfigError(f"{path}: got overlap={overlap!r}, expected pixels, or None for as many as the network looks")


def _check_fixed(path: Path, fixed: Size, tiles: Tiles, overlap: int, locality: Locality) -> None:
    if tiles not in ("auto", None) and (tiles, tiles) != fixed:
        raise ConfigError(
            f"{path}: got tiles of {tiles} px, expected those of the file, {fixed[0]}x{fixed[1]}; take tiles='auto', "
            "or export the file with free sizes"
        )
    if min(fixed) < 2 * overlap + locality.multiple_px or any(side % locality.multiple_px for side in fixed):
        raise InputSizeError(
            f"{path}: got a file of {fixed[0]}x{fixed[1]} whose network looks {overlap} px to each side, expected at "
            f"least {2 * overlap + locality.multiple_px} px and a multiple of {locality.multiple_px} to run larger "
            "images by tiles; export it at a larger --size, or take a smaller overlap, which leaves seams"
        )


def affordable_side(locality: Locality) -> int:
    """Return the side of tiles whose largest operator takes a bounded memory, at most that beyond which none gain."""
    memory = locality.bytes_per_px or _UNKNOWN_BYTES_PER_PX
    return min(_SIDE_PX, math.isqrt(_MEMORY_BYTES // (2 * memory)))
