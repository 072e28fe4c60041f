"""Stopwatch of a repeated task: seconds by part."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


class Stopwatch:
    """Seconds of each part since the last `take`."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        """Start with all parts at zero.

        Args:
            device: Device of the computation: a part ends when the device has finished it.
        """
        self._device = torch.device(device)
        self._seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of a block for a part. Parts are not nested."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; the wait for each counts for a part."""
        iterator = iter(items)
        while True:
            with self.part(name):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def take(self) -> dict[str, float]:
        """Return the seconds so far, and reset them."""
        taken, self._seconds = self._seconds, {}
        return taken


def shares(seconds: Sequence[Mapping[str, float]]) -> str:
    """Return the median duration and the share of each part in one line, the largest part first.

    Args:
        seconds: Seconds of each repetition, by part; at least one.
    """
    parts = {name: sum(one.get(name, 0.0) for one in seconds) for one in seconds for name in one}
    total = sum(parts.values())
    middle = statistics.median(sum(one.values()) for one in seconds)
    by_size = sorted(parts.items(), key=lambda part: -part[1])
    listed = ", ".join(f"{name} {100 * spent / total:.1f} %" for name, spent in by_size) if total else "nothing"
    return f"{middle:.3g} s each (median of {len(seconds)}): {listed}"
