"""Timing of a runtime in this process."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, Self

from gancompress.deploy.axes import Inputs

_WARM_UP_RUNS = 3


class Timed(Protocol):
    """Network that is ready to be timed."""

    def times(self, num_runs: int, settle_ms: float) -> list[float]:
        """Return milliseconds of consecutive runs, after at least ``settle_ms`` of runs that do not count."""
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
    ) -> None:
        """Run the network a few times to warm up.

        Args:
            run: The network.
            inputs: Its inputs.
            profile: Function that returns the milliseconds of a run by class of operator.
            peak_bytes: Function that returns peak memory above its argument.
        """
        self._run, self._inputs = run, inputs
        self._profile, self._peak_bytes = profile, peak_bytes
        for _ in range(_WARM_UP_RUNS):
            run(inputs)

    def times(self, num_runs: int, settle_ms: float) -> list[float]:
        """Return milliseconds of consecutive runs, after at least ``settle_ms`` of runs that do not count."""
        passed = self._run_ms()
        while passed < settle_ms:
            passed += self._run_ms()
        return [self._run_ms() for _ in range(num_runs)]

    def profile(self, num_runs: int) -> dict[str, float] | None:
        """Return milliseconds of a run by class of operator; None if the runtime has no profile."""
        return self._profile(num_runs)

    def peak_bytes(self, before: int | None) -> int | None:
        """Return peak memory above ``before``; None if unknown."""
        return self._peak_bytes(before)

    def _run_ms(self) -> float:
        start = time.perf_counter()
        self._run(self._inputs)
        return 1e3 * (time.perf_counter() - start)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the network is freed with the last reference to it."""


def resident_bytes(field: str) -> int | None:
    """Return the resident memory of this process in bytes, now (VmRSS) or at most (VmHWM); None if unknown."""
    status = Path("/proc/self/status")
    found = re.search(rf"^{field}:\s+(\d+) kB$", status.read_text(), re.MULTILINE) if status.is_file() else None
    return 1024 * int(found[1]) if found else None
