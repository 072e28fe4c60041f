"""Statistics of latencies: medians with percentiles, and ratios of times that were taken in turns."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from gancompress.report import Latency


@dataclass(frozen=True)
class Timing:
    """One network on one runtime at one batch.

    Attributes:
        runtime: A name in `gancompress.deploy.known_modes`.
        network: Its name.
        batch: Images of one run.
        latency_ms: Latency of one run.
        images_per_second: Throughput at the median.
        faster: Ratio to the first network on the same runtime: median over rounds, and the quartiles. 1 for the
            first.
        faster_than_eager: Ratio to the first network in eager; None if that was not timed.
        peak_bytes: Peak memory above that of the process before; None if unknown.
        disk_bytes: Size of its files on disk.
        operators_ms: Milliseconds of a run by class of operator; None if the runtime has no profile.
    """

    runtime: str
    network: str
    batch: int
    latency_ms: Latency
    images_per_second: float
    faster: tuple[float, float, float]
    faster_than_eager: tuple[float, float, float] | None
    peak_bytes: int | None
    disk_bytes: int
    operators_ms: dict[str, float] | None


def ratio(slow: Sequence[Sequence[float]], fast: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Return the speed-up round by round: median, lower and upper quartile.

    Args:
        slow: Times of each round.
        fast: Times of the faster one in the same rounds.
    """
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(slow, fast, strict=True)]
    if len(ratios) == 1:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, low, high
