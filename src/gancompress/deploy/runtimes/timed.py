"""Timing of a runtime in this process."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from gancompress.deploy.axes import Inputs

_WARM_UP_RUNS = 3


@dataclass(frozen=True)
class RunTimes:
    """Times of consecutive runs.

    Attributes:
        wall_ms: Milliseconds of each by the wall clock.
        processor_ms: Milliseconds of processor time that all threads of the process took; None where something else
            computes.
        waited_ms: Milliseconds that threads of the process were ready to run in these runs, and waited for a processor;
            0 where the system does not say.
    """

    wall_ms: list[float]
    processor_ms: list[float] | None = None
    waited_ms: float = 0.0


class Timed(Protocol):
    """Network that is ready to be timed."""

    def times(self, num_runs: int, settle_ms: float) -> RunTimes:
        """Return times of consecutive runs, after at least ``settle_ms`` of runs that do not count."""
        ...

    def peak_bytes(self, before: int | None) -> int | None:
        """Return peak memory above ``before``; None if unknown."""
        ...

    def profile(self, num_runs: int) -> dict[str, float] | None:
        """Return milliseconds of a run by class of operator; None if the runtime has no profile."""
        ...


class InProcess:
    """Network that runs in this process."""

    def __init__(
        self,
        run: Callable[[Inputs], Any],
        inputs: Inputs,
        *,
        profile: Callable[[int], dict[str, float] | None] = lambda num_runs: None,
        peak_bytes: Callable[[int | None], int | None] = lambda before: None,
        elsewhere: bool = False,
    ) -> None:
        """Run the network a few times to warm up.

        Args:
            run: The network.
            inputs: Its inputs.
            profile: Function that returns the milliseconds of a run by class of operator.
            peak_bytes: Function that returns peak memory above its argument.
            elsewhere: Whether something else computes than threads of this process.
        """
        self._run, self._inputs, self._elsewhere = run, inputs, elsewhere
        self._profile, self._peak_bytes = profile, peak_bytes
        for _ in range(_WARM_UP_RUNS):
            run(inputs)

    def times(self, num_runs: int, settle_ms: float) -> RunTimes:
        """Return times of consecutive runs, after at least ``settle_ms`` of runs that do not count."""
        passed, _ = self._run_ms()
        while passed < settle_ms:
            passed += self._run_ms()[0]
        before = _waited_ms()
        wall_ms, processor_ms = zip(*(self._run_ms() for _ in range(num_runs)), strict=True)
        waited_ms = max(0.0, _waited_ms() - before)  # a thread that has ended takes its own along
        return RunTimes(list(wall_ms), None if self._elsewhere else list(processor_ms), waited_ms)

    def profile(self, num_runs: int) -> dict[str, float] | None:
        """Return milliseconds of a run by class of operator; None if the runtime has no profile."""
        return self._profile(num_runs)

    def peak_bytes(self, before: int | None) -> int | None:
        """Return peak memory above ``before``; None if unknown."""
        return self._peak_bytes(before)

    def _run_ms(self) -> tuple[float, float]:
        """Run the network; return milliseconds by the wall clock, and of processor time."""
        start, processor = time.perf_counter(), time.process_time()
        self._run(self._inputs)
        return 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - processor)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the network is freed with the last reference to it."""


def _waited_ms() -> float:
    """Return the milliseconds that the threads of this process have waited for a processor; 0 if unknown.

    Source: https://docs.kernel.org/scheduler/sched-stats.html, the second field of ``schedstat``.
    """
    waited_ns = 0
    for file in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread may end meanwhile
            waited_ns += int(file.read_text().split()[1])
    return waited_ns / 1e6


def resident_bytes(field: str) -> int | None:
    """Return the resident memory of this process in bytes, now (VmRSS) or at most (VmHWM); None if unknown."""
    status = Path("/proc/self/status")
    found = re.search(rf"^{field}:\s+(\d+) kB$", status.read_text(), re.MULTILINE) if status.is_file() else None
    return 1024 * int(found[1]) if found else None
