"""Plot of latencies."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from gancompress.deploy.benchmark.bench import Bench
from gancompress.io import write_atomically
from gancompress.report.plots import PALETTE


def draw(bench: Bench, path: Path) -> None:
    """Write a PNG with a bar for each network on each runtime, and a line from its 10th to its 90th percentile.

    Args:
        bench: The result of a benchmark.
        path: The PNG, written atomically.
    """
    batches = list(dict.fromkeys(timing.batch for timing in bench.timings))
    rows = max(sum(timing.batch == batch for timing in bench.timings) for batch in batches)
    figure = Figure(figsize=(7.5 * len(batches), 1.2 + 0.36 * rows), layout="constrained")
    for place, batch in enumerate(batches, start=1):
        timings = [timing for timing in bench.timings if timing.batch == batch][::-1]
        axes = figure.add_subplot(1, len(batches), place)
        medians = [timing.latency_ms.median for timing in timings]
        spread = [
            [max(0.0, t.latency_ms.median - t.latency_ms.p10) for t in timings],
            [max(0.0, t.latency_ms.p90 - t.latency_ms.median) for t in timings],
        ]
        first = bench.timings[0].network
        colors = [PALETTE["muted" if timing.network == first else "accent"] for timing in timings]
        bars = axes.barh(range(len(timings)), medians, xerr=spread, color=colors, ecolor=PALETTE["ink"])
        labels = [
            f"{t.latency_ms.median:.3g} ms" + (f"  {t.faster_than_eager[0]:.3g}x" if t.faster_than_eager else "")
            for t in timings
        ]
        axes.bar_label(bars, labels, padding=6, fontsize=9, color=PALETTE["ink"])
        axes.set_yticks(range(len(timings)), [f"{t.network}, {t.runtime}" for t in timings], fontsize=9)
        axes.set_xlim(0, 1.25 * max(timing.latency_ms.p90 for timing in timings))
        axes.set_title(f"batch {batch}, ms; times faster than {first} in eager", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white", dpi=100)
    write_atomically(path, buffer.getvalue())
