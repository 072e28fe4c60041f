"""What a step leaves to look at while it runs: losses line by line, their curves, sample grids, how far it is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from torch import Tensor

from gancompress.errors import GanCompressError, naming
from gancompress.methods.progress import Clock, Pace, Progress
from gancompress.report.grid import sample_grid
from gancompress.report.plots import losses_png
from gancompress.report.tensorboard import TensorBoard

LOSSES_FILE = "losses.jsonl"
CURVES_FILE = "losses.png"

_REDRAW_S = 30.0  # the curves are at least this old when they are drawn again
_DRAWING_SHARE = 50  # and drawing them takes no more than this part of the time, 1 / 50
_SAY_S = 10.0  # a search says a line at most this often

Show = Callable[[Progress | str | None], None]
"""Takes how far a step is, or in words what else is being done; None when that has come to an end."""


class RunLog:
    """Writes ``losses.jsonl``, ``losses.png`` and ``previews/`` into a step's directory, and tells the user.

    As a context manager it brings the curves up to date at the end, also where the step ends early.
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
            directory: The step's directory, which exists.
            say: Where to tell the user, a line at a time.
            step: The step's name.
            place: Its place among the others, in words.
            show: Where to show how far the step is, after every batch. Where it is left out, lines say it now and then.
            board: Directory for TensorBoard's files; none are written without it.
            clock: Seconds from any moment.
        """
        self._directory, self._say, self._show, self._board_directory = directory, say, show, board
        self._step, self._place, self._clock = step, place, clock
        self._pace, self._values = Pace(clock), dict[str, float]()
        self._progress: Progress | None = None
        self._board: TensorBoard | None = None
        self._drawn_at, self._redraw_after = clock(), _REDRAW_S
        self._said_at: float | None = None

    def __enter__(self) -> Self:
        _cut_off_unfinished_line(self._directory / LOSSES_FILE)
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
        """How far training is."""
        if self._progress is None and self._board_directory is not None:
            self._board = TensorBoard(self._board_directory, num_images)
        self._advance(num_images, total_images, "images")

    def losses(self, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
        """Mean losses since the last report."""
        record = {"num_images": num_images, "images_per_second": images_per_second, "losses": dict(values)}
        path = self._directory / LOSSES_FILE
        with naming(path), path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._values = {name: value for name, value in values.items() if "/" not in name}
        if self._board is not None:
            self._board.scalars(num_images, {**values, "images_per_second": images_per_second})
        if self._progress is not None:
            self._advance(num_images, self._progress.total, "images")
            self._say_progress()
        if self._clock() - self._drawn_at >= self._redraw_after:
            self._draw()

    def preview(self, num_images: int, images: Mapping[str, Tensor]) -> None:
        """A sample grid."""
        directory = self._directory / "previews"
        directory.mkdir(exist_ok=True)
        path = directory / f"{num_images:09d}.png"
        sample_grid(dict(images), path)
        if self._board is not None:
            self._board.picture(num_images, "previews", path)

    def said(self, line: str) -> None:
        """Tell the user."""
        self._say(f"{self._step}: {line}" if self._step else line)

    def searched(self, num_candidates: int, total_candidates: int, best: Mapping[str, float]) -> None:
        """How far a search is."""
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


def read_losses(directory: Path) -> list[dict[str, Any]]:
    """The records of a step's losses, in order: ``num_images``, ``images_per_second`` and ``losses`` by name.

    Of a step that went on after an interruption, the last record for each number of images. A line that a kill or a
    full disk left unfinished is none.

    Args:
        directory: The step's directory.
    """
    path = directory / LOSSES_FILE
    if not path.is_file():
        return []
    whole = path.read_text().rpartition("\n")[0]
    latest = {line["num_images"]: line for line in map(json.loads, whole.splitlines())}
    return [latest[num_images] for num_images in sorted(latest)]


def _cut_off_unfinished_line(path: Path) -> None:
    """What is appended next must begin on a line of its own."""
    if path.is_file():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
