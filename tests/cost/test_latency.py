"""Timing in turns."""

from __future__ import annotations

import time

from gancompress.cost.latency import in_turns


def test_functions_take_turns_and_the_slow_one_is_slower():
    called = []

    def fast() -> None:
        called.append("fast")

    def slow() -> None:
        called.append("slow")
        time.sleep(0.005)

    times = in_turns([fast, slow], rounds=3, warm_up=1)
    assert called == ["fast", "slow"] * 4
    assert [len(row) for row in times] == [3, 3]
    assert min(times[1]) >= 5 > min(times[0])
