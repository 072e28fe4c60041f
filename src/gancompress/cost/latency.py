"""Wall-clock time of alternatives, measured in turns so that their ratio holds on a noisy machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


def in_turns(functions: Sequence[Callable[[], object]], rounds: int, warm_up: int = 1) -> list[list[float]]:
    """Time functions in turns.

    Args:
        functions: The alternatives; each must have finished its work when it returns.
        rounds: Number of timed turns.
        warm_up: Number of turns before those.

    Returns:
        Milliseconds of each function in every round, shape ``[functions][rounds]``.
    """
    for _ in range(warm_up):
        for function in functions:
            function()
    times = [[_milliseconds(function) for function in functions] for _ in range(rounds)]
    return [list(column) for column in zip(*times, strict=True)]


def _milliseconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)
