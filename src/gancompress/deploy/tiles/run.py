"""Running of a network on the tiles of an image."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.deploy.tiles.choice import TilePlan
from gancompress.deploy.tiles.grid import spans
from gancompress.errors import InputSizeError


def run_tiles(path: Path, run: Callable[[Tensor], Tensor], images: Tensor, plan: TilePlan, progress: bool) -> Tensor:
    """Run a network tile by tile.

    A side that is no multiple of what the network needs, or shorter than a tile of one size, is continued by its last
    pixels, and what lies there is cut off again.

    Args:
        path: The network's file, for messages.
        run: Function from a tile [b, c, h, w] to its output.
        images: Images [b, c, h, w] of any type.
        plan: The tiles.
        progress: Whether to show a bar, if the standard error is a terminal.

    Returns:
        The outputs, of the type that ``run`` returns.

    Raises:
        InputSizeError: The output of a tile is no multiple of the tile.
    """
    height, width = images.shape[-2:]
    padded = _continued(images, plan)
    scale = plan.locality.scale
    rows = spans(padded.shape[-2], plan.height, plan.overlap)
    columns = spans(padded.shape[-1], plan.width, plan.overlap)
    whole: Tensor | None = None
    with _bar(len(rows) * len(columns), progress) as advance:
        for row in rows:
            for column in columns:
                result = run(padded[..., row.start : row.stop, column.start : column.stop])
                expected = (int((row.stop - row.start) * scale), int((column.stop - column.start) * scale))
                if result.dim() != 4 or tuple(result.shape[-2:]) != expected:
                    raise InputSizeError(
                        f"{path}: got an output of {list(result.shape)} for a tile of {row.stop - row.start}x"
                        f"{column.stop - column.start}, expected {expected[0]}x{expected[1]}; run images whole "
                        "(tiles=None, --tiles none)"
                    )
                if whole is None:
                    sides = [int(side * scale) for side in padded.shape[-2:]]
                    whole = result.new_empty((*result.shape[:2], *sides))
                kept = result[
                    ...,
                    int((row.first - row.start) * scale) : int((row.behind - row.start) * scale),
                    int((column.first - column.start) * scale) : int((column.behind - column.start) * scale),
                ]
                top, left = int(row.first * scale), int(column.first * scale)
                whole[..., top : top + kept.shape[-2], left : left + kept.shape[-1]] = kept
                advance()
    assert whole is not None  # there is at least one tile
    return whole[..., : int(height * scale), : int(width * scale)]


def _continued(images: Tensor, plan: TilePlan) -> Tensor:
    """Return images whose sides are multiples and no shorter than a fixed tile, continued by their last pixels."""
    multiple = plan.locality.multiple_px
    more = [-side % multiple for side in images.shape[-2:]]
    if plan.whole_tiles:
        wanted = (plan.height, plan.width)
        more = [max(tile - side, by) for tile, side, by in zip(wanted, images.shape[-2:], more, strict=True)]
    if not any(more):
        return images
    floats = images if images.is_floating_point() else images.to(torch.float32)
    return F.pad(floats, (0, more[1], 0, more[0]), mode="replicate").to(images.dtype)


@contextmanager
def _bar(total: int, shown: bool) -> Iterator[Callable[[], object]]:
    """Show a bar on a terminal; nothing elsewhere, and for one tile."""
    if not shown or total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("tiles"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("tiles", total=total)
        yield lambda: bar.advance(task)
