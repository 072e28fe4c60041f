from __future__ import annotations

import math
import random

import pytest

from gancompress.report import Better, Candidate, pareto_front


def beats(one: Candidate, other: Candidate, better: Better) -> bool:
    sign = 1 if better == "lower" else -1
    a, b = (one.cost, sign * one.value), (other.cost, sign * other.value)
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("seed", range(20))
def test_front_equals_brute_force(better: Better, seed: int):
    rng = random.Random(seed)
    # few levels, so that ties in cost, in quality and in both are common
    candidates = [Candidate(str(i), rng.randrange(12), rng.randrange(12)) for i in range(40)]
    unbeaten = [one for one in candidates if not any(beats(other, one, better) for other in candidates)]
    front = pareto_front(candidates, better)
    assert [(c.cost, c.value) for c in front] == sorted({(c.cost, c.value) for c in unbeaten})


def test_unknown_quality_is_never_on_the_front():
    assert pareto_front([Candidate("a", 1.0, math.nan), known := Candidate("b", 2.0, 3.0)], "lower") == [known]
    assert pareto_front([], "higher") == []
