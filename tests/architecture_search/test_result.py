"""Results: best, front, JSON."""

from __future__ import annotations

import json
import math
import random

import pytest

from gancompress.architecture_search import Candidate, Objective, SearchResult
from gancompress.channels import ChannelPlan
from gancompress.errors import ConfigError


def result(points: list[tuple[float, float]], direction: str) -> SearchResult:
    candidates = tuple(
        Candidate(i, (i + 1,), str(i + 1), ChannelPlan({"a": i + 1}), cost, {"quality": quality})
        for i, (cost, quality) in enumerate(points)
    )
    return SearchResult(Objective(metric="quality", direction=direction), None, candidates)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_nothing_dominates(direction, seed):
    rng = random.Random(seed)
    points = [(float(rng.randint(0, 20)), float(rng.randint(0, 20))) for _ in range(60)]
    sign = 1 if direction == "minimize" else -1
    undominated = {p for p in points if not any(q != p and q[0] <= p[0] and sign * q[1] <= sign * p[1] for q in points)}
    found = result(points, direction)
    front = [(c.cost, c.metrics["quality"]) for c in found.front]
    assert front == sorted(undominated)
    best = min(points, key=lambda p: (sign * p[1], p[0]))
    assert found.best is not None
    assert (found.best.cost, found.best.metrics["quality"]) == best


def test_what_is_no_number_is_never_best():
    points = [(1.0, math.nan), (2.0, -math.inf), (3.0, 5.0)]
    found = result(points, "minimize")
    assert found.best is found.candidates[2]
    assert found.front == (found.candidates[2],)
    assert result(points[:2], "maximize").best is None
    content = json.loads(found.to_json())
    assert content["best"] == "3"
    assert content["front"] == ["3"]
    first = {"plan": "1", "widths": {"a": 1}, "cost": 1.0, "metrics": {"quality": None}, "seconds": {}}
    assert content["candidates"][0] == first


def test_a_missing_metric_is_named():
    with pytest.raises(ConfigError, match="no metric 'fidd'; did you mean 'fid'"):
        Objective(metric="fidd").score({"fid": 1.0})
