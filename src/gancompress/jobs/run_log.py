"""Log of a running step: losses line by line, their curves, sample grids and progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from torch import Tensor

from gancompress.errors import GanCompressError
from gancompress.methods.loss_records import add_losses, read_losses, resume_losses
from gancompress.methods.progress import Clock, Pace, Progress
from gancompress.report.panels import draw_samples
from gancompress.report.plots import losses_png
from gancompress.report.tensorboard import TensorBoard

CURVES_FILE = "losses.png"

_REDRAW_S = 30.0  # minimum age of the curves before they are drawn again
_DRAWING_SHARE = 50  # drawing takes at most this fraction of the time, 1 / 50
_SAY_S = 10.0  # minimum time between two progress lines of a search

Show = Callable[[Progress | str | None], None]
"""Shows the progress of a step, or another activity in words; None when it has ended."""


class RunLog:
    """Log that writes ``losses.jsonl``, ``losses.png`` and ``previews/`` into a step's directory and prints lines.

    As a context manager it redraws the curves at the end, also if the step ends early.
    """

    def __init__(
        self,
        directory: Path,
        say: Callable[[str], None],
        *,
        step: str = "",
        place: str = "",
        show: Show | None = None,
        board: Path | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Log into a directory.

        Args:
            directory: The step's directory, which must exist.
            say: Prints a line for the user.
            step: The step's name.
            place: Position among the steps, in words.
            show: Shows the progress of the step after every batch. By default progress lines are printed now and then.
            board: Directory for TensorBoard's files; none are written without it.
            clock: Returns seconds since any fixed moment.
        """
        self._directory, self._say, self._show, self._board_directory = directory, say, show, board
        self._step, self._place, self._clock = step, place, clock
        self._pace, self._values = Pace(clock), dict[str, float]()
        self._progress: Progress | None = None
        self._board: TensorBoard | None = None
        self._drawn_at, self._redraw_after = clock(), _REDRAW_S
        self._said_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()
        if self._show is not None:
            self._show(None)
        if kind is None or issubclass(kind, GanCompressError):
            self._draw()

    def progress(self, num_images: int, total_images: int) -> None:
        """Report the progress of training."""
        if self._progress is None:
            resume_losses(self._directory, num_images)
            if self._board_directory is not None:
                self._board = TensorBoard(self._board_directory, num_images)
        self._advance(num_images, total_images, "images")

    def losses(self, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
        """Log mean losses since the last report."""
        add_losses(self._directory, num_images, values, images_per_second)
        self._values = {name: value for name, value in values.items() if "/" not in name}
        if self._board is not None:
            self._board.scalars(num_images, {**values, "images_per_second": images_per_second})
        if self._progress is not None:
            self._advance(num_images, self._progress.total, "images")
            self._say_progress()
        if self._clock() - self._drawn_at >= self._redraw_after:
            self._draw()

    def preview(self, num_images: int, images: Mapping[str, Tensor]) -> None:
        """Save a picture of the samples."""
        directory = self._directory / "previews"
        directory.mkdir(exist_ok=True)
        path = directory / f"{num_images:09d}.png"
        draw_samples(images, path)
        if self._board is not None:
            self._board.picture(num_images, "previews", path)

    def said(self, line: str) -> None:
        """Print a line for the user."""
        self._say(f"{self._step}: {line}" if self._step else line)

    def searched(self, num_candidates: int, total_candidates: int, best: Mapping[str, float]) -> None:
        """Report the progress of a search."""
        self._values = {f"best {name}": value for name, value in best.items()}
        self._advance(num_candidates, total_candidates, "candidates")
        now = self._clock()
        if self._said_at is None or now - self._said_at >= _SAY_S or num_candidates == total_candidates:
            self._said_at = now
            self._say_progress()

    def _advance(self, done: int, total: int, unit: Literal["images", "candidates"]) -> None:
        rate = self._pace.at(done)
        remaining = None if rate is None else (total - done) / rate
        self._progress = Progress(self._step, self._place, done, total, unit, rate, remaining, self._values)
        if self._show is not None:
            self._show(self._progress)

    def _say_progress(self) -> None:
        if self._show is None:
            self._say(f"  {self._progress}")

    def _draw(self) -> None:
        began = self._clock()
        if losses := [(line["num_images"], line["losses"]) for line in read_losses(self._directory)]:
            losses_png(losses, self._directory / CURVES_FILE)
        self._drawn_at = self._clock()
        self._redraw_after = max(_REDRAW_S, _DRAWING_SHARE * (self._drawn_at - began))
