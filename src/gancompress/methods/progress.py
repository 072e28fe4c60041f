"""Progress of a method, shown in a terminal or a notebook, or passed to a function."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from gancompress.methods.loss_records import add_losses, resume_losses
from gancompress.report.wording import duration, significant

_PACE_S = 60.0  # the rate is an average over this time
_LINE_S = 10.0  # without a terminal a line is printed at most this often
_REDRAW_S = 0.2

Clock = Callable[[], float]


@dataclass(frozen=True)
class Progress:
    """Progress of a step.

    Attributes:
        step: Name of the step.
        place: Position among the steps of the job, as text.
        done: Images or candidates so far, including those before an interruption.
        total: Total number of images or candidates.
        unit: Unit of ``done`` and ``total``.
        per_second: Recent rate; None before anything was done.
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
        """Return the progress in one line, without the step's name."""
        parts = [f"{self.done:,} of {self.total:,} {self.unit}"]
        if self.per_second is not None:
            parts.append(f"{self.rate} per second")
        if self.left:
            parts.append(f"{self.left} left")
        return "  ".join([", ".join(parts), *self.figures])

    @property
    def figures(self) -> list[str]:
        """Values formatted with their names."""
        return [f"{name} {significant(value)}" for name, value in self.values.items()]

    @property
    def rate(self) -> str:
        """Rate per second for display; empty if it is not known."""
        if self.per_second is None:
            return ""
        return f"{self.per_second:,.0f}" if self.per_second >= 99.95 else significant(self.per_second)

    @property
    def left(self) -> str:
        """Time to the end of the step for display; empty if it is not known, and at the end."""
        if self.remaining_s is None or self.done >= self.total:
            return ""
        return f"{max(1.0, self.remaining_s):.0f} s" if self.remaining_s < 59.5 else duration(self.remaining_s)


class Pace:
    """Rate over the last minute, counted from the start or resume."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Create a pace without measurements.

        Args:
            clock: Returns seconds since any fixed moment.
        """
        self._clock = clock
        self._moments: deque[tuple[float, int]] = deque()

    def at(self, done: int) -> float | None:
        """Record the amount done and return the rate per second; None the first time and without progress since."""
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
    """Log of a method: passes its progress on and keeps its losses.

    Attributes:
        losses_seen: Mean losses by name, with ``num_images``, in order.
    """

    def __init__(self, step: str, show: Report | None, out: Path | None) -> None:
        """Create a log.

        Args:
            step: Name of the step.
            show: Called with the progress.
            out: Directory in which ``losses.jsonl`` is written; None writes nothing.
        """
        self.losses_seen: list[dict[str, float]] = []
        self._step, self._show, self._out = step, show, out
        self._pace, self._values, self._has_begun = Pace(), dict[str, float](), False

    def __call__(self, progress: Progress) -> None:
        """Report the progress of a search."""
        rate = self._pace.at(progress.done)
        remaining = None if rate is None else (progress.total - progress.done) / rate
        if self._show is not None:
            self._show(replace(progress, per_second=rate, remaining_s=remaining))

    def progress(self, num_images: int, total_images: int) -> None:
        """Report the progress of training."""
        if self._out is not None and not self._has_begun:
            resume_losses(self._out, num_images)
        self._has_begun = True
        self(Progress(self._step, "", num_images, total_images, "images", values=self._values))

    def losses(self, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
        """Record mean losses since the last report."""
        self.losses_seen.append({"num_images": num_images, **values})
        self._values = {name: value for name, value in values.items() if "/" not in name}
        if self._out is not None:
            add_losses(self._out, num_images, values, images_per_second)

    def preview(self, num_images: int, images: Mapping[str, Tensor]) -> None:
        """Ignore sample images, because outputs may be of any kind."""

    def said(self, line: str) -> None:
        """Print a message."""
        if self._show is not None:
            print(f"{self._step}: {line}", file=sys.stderr)


@contextmanager
def reporting(step: str, progress: bool | Report, out: Path | None = None) -> Iterator[MethodLog]:
    """Show the progress of a method.

    Args:
        step: Name of the step.
        progress: True for a line in the terminal or the notebook, False for none, or a function to call.
        out: Directory in which losses are written; None writes nothing.
    """
    if isinstance(progress, bool):
        display = _display() if progress else None
        yield MethodLog(step, display and display.show, out)
        if display is not None:
            display.close()
        return
    yield MethodLog(step, progress, out)


class _Lines:
    """Progress display for files and pipes: prints a line from time to time."""

    def __init__(self) -> None:
        self._printed_at: float | None = None

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._printed_at is None or now - self._printed_at >= _LINE_S or progress.done >= progress.total:
            self._printed_at = now
            print(_text(progress), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Do nothing: every line was printed completely."""


class _Terminal:
    """Progress display for a terminal: redraws one line."""

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
    """Progress display for a notebook: updates the output of a cell."""

    def __init__(self, display: Callable[..., Any]) -> None:
        self._handle = display({"text/plain": ""}, raw=True, display_id=True)
        self._drawn_at = 0.0

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._drawn_at >= _REDRAW_S or progress.done >= progress.total:
            self._drawn_at = now
            self._handle.update({"text/plain": _text(progress)}, raw=True)

    def close(self) -> None:
        """Do nothing: the last line remains in the output."""


def _display() -> _Lines | _Terminal | _Notebook:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        return _Notebook(display)
    return _Terminal() if sys.stderr.isatty() else _Lines()


def _text(progress: Progress) -> str:
    return f"{progress.step}: {progress}"
