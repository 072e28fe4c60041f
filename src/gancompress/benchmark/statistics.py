"""What times say: a median with what lies around it, and ratios of times that were taken side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from gancompress.report import Latency


@dataclass(frozen=True)
class Timing:
    """One network on one runtime at one batch.

    Attributes:
        runtime: A name in `gancompress.export.known_modes`.
        network: Its name.
        batch: Images of one run.
        latency_ms: Of one run.
        images_per_second: At the median.
        faster: How many times faster than the first network on the same runtime: median over rounds, and the
            quartiles. 1 for the first.
        faster_than_eager: The same against the first network in eager; None where that was not timed.
        peak_bytes: Memory at its highest, above that of the process before; None where unknown.
        disk_bytes: What lies on the disk.
        operators_ms: Milliseconds of a run by class of operator; None where the runtime does not tell.
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
    """How many times faster, round by round: median, lower and upper quartile.

    Args:
        slow: Times of each round.
        fast: Times of the other in the same rounds.
    """
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(slow, fast, strict=True)]
    if len(ratios) == 1:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, low, high
