"""Progress of a running job in the terminal: permanent lines, and below them one step's progress, redrawn in place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from gancompress.jobs.run_log import Show
    from gancompress.methods.progress import Progress

_REDRAW_S = 0.1
_RATE_WIDTH, _LEFT_WIDTH = len("41.2/s"), len("12 min 34 s left")  # kept free, so that the bar keeps its length


@dataclass(frozen=True)
class Watch:
    """Output of a running job.

    Attributes:
        say: Prints a line.
        show: Redraws the current progress; None if the output is no terminal, which gets lines only.
    """

    say: Callable[[str], None]
    show: Show | None


@contextmanager
def watching(console: Console) -> Iterator[Watch]:
    """Show the progress of a job: live on a terminal, by lines elsewhere."""

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    if not console.is_interactive:
        yield Watch(say, None)
        return
    # Redrawn by the job itself, never by a thread, because the data loader forks.
    with Live(
        console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as live:
        drawn_at = 0.0

        def show(what: Progress | str | None) -> None:
            nonlocal drawn_at
            now = time.monotonic()
            if what is None or isinstance(what, str):
                live.update(Text(what or "", style="dim"), refresh=True)
            elif what.done >= what.total or now - drawn_at >= _REDRAW_S:
                drawn_at = now
                live.update(picture(what), refresh=True)

        yield Watch(say, show)


def picture(progress: Progress) -> RenderableType:
    """Draw two lines: step, bar, counts, rate and time left; and the losses or the best candidate."""
    total = f"{progress.total:,}"
    counts = f"{progress.done:>{len(total)},}/{total} {progress.unit}"
    rate = f"{progress.rate}/s" if progress.rate else ""
    left = f"{progress.left} left" if progress.left else ""
    bar = ProgressBar(progress.total, progress.done)
    line = Table.grid(padding=(0, 2, 0, 0), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1, min_width=4)
    for width in (len(counts), _RATE_WIDTH, _LEFT_WIDTH):
        line.add_column(no_wrap=True, min_width=width)
    line.add_row(Text.assemble((progress.step, "bold"), f"  {progress.place}"), bar, counts, rate, left)
    return Group(line, Text("  ".join(progress.figures), style="dim", no_wrap=True, overflow="ellipsis"))
