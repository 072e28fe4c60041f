"""Seconds by part."""

from __future__ import annotations

import time

import pytest

from gancompress.evaluation.stopwatch import Stopwatch, shares


def test_parts_add_up_until_they_are_taken():
    watch = Stopwatch()
    for _ in range(2):
        with watch.part("sleep"):
            time.sleep(0.02)
    assert list(watch.each("items", "abc")) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="broken"), watch.part("failing"):
        raise ValueError("broken")
    taken = watch.take()
    assert set(taken) == {"sleep", "items", "failing"}
    assert 0.04 <= taken["sleep"] < 1
    assert taken["items"] < 0.01
    assert watch.take() == {}


def test_shares_name_the_largest_part_first():
    seconds = [{"features": 1.0, "cost": 0.0}, {"features": 2.0, "generation": 6.0}, {"features": 1.0}]
    assert shares(seconds) == "1 s each (median of 3): generation 60.0 %, features 40.0 %, cost 0.0 %"
    assert shares([{}]) == "0 s each (median of 1): nothing"
