"""Progress of a method: how far it is, shown in a terminal or a notebook, or given to a function."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from gancompress.errors import naming
from gancompress.report.wording import duration, significant

LOSSES_FILE = "losses.jsonl"

_PACE_S = 60.0  # the rate is that of this time
_LINE_S = 10.0  # without a terminal a line is printed at most this often
_REDRAW_S = 0.2

Clock = Callable[[], float]


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


Report = Callable[[Progress], object]
"""A function that is called with the progress, after every batch or candidate."""


class MethodLog:
    """Passes the progress of a method on, and keeps its losses.

    Attributes:
        losses_seen: Mean losses by name, with ``num_images``, in order.
    """

    def __init__(self, step: str, show: Report | None, out: Path | None) -> None:
        """Log a method.

        Args:
            step: Its name.
            show: Called with the progress.
            out: Directory in which ``losses.jsonl`` is written; None writes nothing.
        """
        self.losses_seen: list[dict[str, float]] = []
        self._step, self._show, self._out = step, show, out
        self._pace, self._values = Pace(), dict[str, float]()

    def __call__(self, progress: Progress) -> None:
        """Report the progress of a search."""
        rate = self._pace.at(progress.done)
        remaining = None if rate is None else (progress.total - progress.done) / rate
        if self._show is not None:
            self._show(replace(progress, per_second=rate, remaining_s=remaining))

    def progress(self, num_images: int, total_images: int) -> None:
        """Report the progress of training."""
        self(Progress(self._step, "", num_images, total_images, "images", values=self._values))

    def losses(self, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
        """Record mean losses since the last report."""
        self.losses_seen.append({"num_images": num_images, **values})
        self._values = {name: value for name, value in values.items() if "/" not in name}
        if self._out is not None:
            record = {"num_images": num_images, "images_per_second": images_per_second, "losses": dict(values)}
            path = self._out / LOSSES_FILE
            with naming(path), path.open("a") as file:
                file.write(json.dumps(record) + "\n")

    def preview(self, num_images: int, images: Mapping[str, Tensor]) -> None:
        """Ignore sample images: outputs may be of any kind."""

    def said(self, line: str) -> None:
        """Print a remark."""
        if self._show is not None:
            print(f"{self._step}: {line}", file=sys.stderr)


@contextmanager
def reporting(step: str, progress: bool | Report, out: Path | None = None) -> Iterator[MethodLog]:
    """Show the progress of a method.

    Args:
        step: Its name.
        progress: True for a line in the terminal or the notebook, False for none, or a function to call.
        out: Directory of the record, if any.
    """
    if isinstance(progress, bool):
        display = _display() if progress else None
        yield MethodLog(step, display and display.show, out)
        if display is not None:
            display.close()
        return
    yield MethodLog(step, progress, out)


class _Lines:
    """Prints a line now and then: for files and pipes."""

    def __init__(self) -> None:
        self._printed_at: float | None = None

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._printed_at is None or now - self._printed_at >= _LINE_S or progress.done >= progress.total:
            self._printed_at = now
            print(_text(progress), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is left open."""


class _Terminal:
    """Redraws one line."""

    def __init__(self) -> None:
        self._drawn_at, self._width = 0.0, 0

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._drawn_at >= _REDRAW_S or progress.done >= progress.total:
            self._drawn_at, text = now, _text(progress)
            print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(text)

    def close(self) -> None:
        print(file=sys.stderr)


class _Notebook:
    """Updates the output of a cell."""

    def __init__(self, display: Callable[..., Any]) -> None:
        self._handle = display({"text/plain": ""}, raw=True, display_id=True)
        self._drawn_at = 0.0

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._drawn_at >= _REDRAW_S or progress.done >= progress.total:
            self._drawn_at = now
            self._handle.update({"text/plain": _text(progress)}, raw=True)

    def close(self) -> None:
        """The last line stays."""


def _display() -> _Lines | _Terminal | _Notebook:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        return _Notebook(display)
    return _Terminal() if sys.stderr.isatty() else _Lines()


def _text(progress: Progress) -> str:
    return f"{progress.step}: {progress}"
