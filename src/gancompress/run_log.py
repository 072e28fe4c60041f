"""What a step leaves to look at while it runs: losses line by line, their curves, sample grids, how far it is."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from torch import Tensor

from gancompress.errors import GanCompressError, naming
from gancompress.report.grid import sample_grid
from gancompress.report.plots import losses_png
from gancompress.report.tensorboard import TensorBoard
from gancompress.report.wording import duration, significant

LOSSES_FILE = "losses.jsonl"
CURVES_FILE = "losses.png"

_REDRAW_S = 30.0  # the curves are at least this old when they are drawn again
_DRAWING_SHARE = 50  # and drawing them takes no more than this part of the time, 1 / 50
_SAY_S = 10.0  # a search says a line at most this often
_PACE_S = 60.0  # the rate of late is that of this time

Clock = Callable[[], float]
Show = Callable[["Progress | str | None"], None]
"""Takes how far a step is, or in words what else is being done; None when that has come to an end."""


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    Attributes:
        step: Its name.
        place: Its place among the steps of the job, in words.
        done: Images or candidates so far, those before an interruption included.
        total: How many there will be.
        unit: What is counted.
        per_second: The rate of late; None before anything was done.
        remaining_s: Seconds to the end of the step at this rate.
        values: Losses by name, or the metrics of the best candidate, as far as they are known.
    """

    step: str
    place: str
    done: int
    total: int
    unit: Literal["images", "candidates"]
    per_second: float | None = None
    remaining_s: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """In one line, without the step's name."""
        parts = [f"{self.done:,} of {self.total:,} {self.unit}"]
        if self.per_second is not None:
            parts.append(f"{self.rate} per second")
        if self.left:
            parts.append(f"{self.left} left")
        return "  ".join([", ".join(parts), *self.figures])

    @property
    def figures(self) -> list[str]:
        """Each value behind its name."""
        return [f"{name} {significant(value)}" for name, value in self.values.items()]

    @property
    def rate(self) -> str:
        """The rate per second as a person reads it; empty where it is not known."""
        if self.per_second is None:
            return ""
        return f"{self.per_second:,.0f}" if self.per_second >= 99.95 else significant(self.per_second)

    @property
    def left(self) -> str:
        """The time to the end of the step as a person reads it; empty where it is not known, and at the end."""
        if self.remaining_s is None or self.done >= self.total:
            return ""
        return f"{max(1.0, self.remaining_s):.0f} s" if self.remaining_s < 59.5 else duration(self.remaining_s)


class Pace:
    """How fast something goes: its rate over the last minute, from where it began or went on."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Nothing is known yet.

        Args:
            clock: Seconds from any moment.
        """
        self._clock = clock
        self._moments: deque[tuple[float, int]] = deque()

    def at(self, done: int) -> float | None:
        """The rate per second, now that so much is done; None the first time, and while nothing more is done."""
        now = self._clock()
        if not self._moments or now - self._moments[-1][0] >= _PACE_S / 60:
            self._moments.append((now, done))
        while len(self._moments) > 2 and now - self._moments[1][0] > _PACE_S:
            self._moments.popleft()
        then, before = self._moments[0]
        return (done - before) / (now - then) if now > then and done > before else None


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
