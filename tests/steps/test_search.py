"""The search as a step: what it measures, what it costs, and the random plan that it is compared with."""

from __future__ import annotations

import pytest
import torch

from gancompress.data.kinds.procedural import ProceduralSet
from gancompress.errors import BudgetError, ConfigError, ExportError, Interrupted
from gancompress.latency import Target
from gancompress.search import SearchOptions
from gancompress.steps import Budget, Search
from gancompress.steps import search as search_step
from gancompress.steps.spaces import SpaceOptions
from tests.steps.small_work import macs_of, make_context, make_work, same_weights

SPACE = SpaceOptions(max_choices=3, multiple=2)


def step(**options) -> Search:
    defaults = {"method": "random", "num_candidates": 4}
    return Search(space=SPACE, options=SearchOptions(**{**defaults, **options}), calibration_batches=1)


@pytest.fixture
def drawn(monkeypatch) -> list[tuple[str, int]]:
    """Split and number of every image that was drawn."""
    images = []
    draw = ProceduralSet._draw

    def noted(self, index):
        images.append((self._split, index))
        return draw(self, index)

    monkeypatch.setattr(ProceduralSet, "_draw", noted)
    return images


def budget_of(work, tmp_path, fraction: float = 0.4) -> Budget:
    return Budget(fraction * macs_of(work, make_context(tmp_path / "measuring", None)))


def test_the_best_candidate_is_cut_out_and_its_time_is_told(tmp_path):
    work = make_work()
    budget = budget_of(work, tmp_path)
    context = make_context(tmp_path / "search", budget)
    found = step().run(work, context)
    facts = found.facts
    candidates = facts["search"]["candidates"]
    (chosen,) = [candidate for candidate in candidates if candidate["chosen"]]
    assert chosen["value"] == max(candidate["value"] for candidate in candidates)
    assert chosen["plan"] == facts["plan"]
    assert macs_of(found, context) == chosen["cost"] <= budget.limit
    parts = {"cost", "materialise", "recalibration", "loading", "generation", "features", "distance"}
    assert set(facts["candidate_seconds"][0]) == {*parts, "reference"}
    assert all(set(seconds) - {"cost"} == parts - {"cost"} for seconds in facts["candidate_seconds"][1:])
    assert all(min(seconds.values()) >= 0 for seconds in facts["candidate_seconds"])
    assert facts["note"].startswith("4 candidates, ")
    assert "generation" in facts["note"]
    assert "s each (median of 4)" in facts["note"]


@pytest.mark.parametrize(("norm", "calibrated"), [("instance", False), ("batch", True)])
def test_images_are_decoded_once_and_calibration_inputs_only_where_they_are_needed(tmp_path, drawn, norm, calibrated):
    work = make_work(norm)
    context = make_context(tmp_path / "search", budget_of(work, tmp_path))
    drawn.clear()
    step().run(work, context)
    assert [index for split, index in drawn if split == "search"] == list(range(6))
    assert [index for split, index in drawn if split == "train"] == (list(range(8)) if calibrated else [])


def test_a_stopped_search_goes_on_with_the_times_of_its_candidates(tmp_path):
    work = make_work()
    budget = budget_of(work, tmp_path)
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        step().run(work, make_context(tmp_path / "search", budget, stop=lambda: next(asked)))
    resumed = step().run(work, make_context(tmp_path / "search", budget))
    whole = step().run(work, make_context(tmp_path / "whole", budget))
    assert resumed.facts["search"] == whole.facts["search"]
    assert len(resumed.facts["candidate_seconds"]) == 4
    assert same_weights(resumed.generator, whole.generator)


def test_a_random_plan_at_the_budget_is_one_option_away_and_measures_nothing(tmp_path, drawn, monkeypatch):
    work = make_work()
    budget = budget_of(work, tmp_path)
    monkeypatch.setattr(search_step, "Evaluation", None)  # would fail if it were used
    context = make_context(tmp_path / "search", budget)
    drawn.clear()
    found = step(method="random_at_budget", budget_tolerance=0.1).run(work, context)
    assert all(split == "test" for split, _ in drawn)  # examples for tracing
    assert 0.9 * budget.limit <= macs_of(found, context) <= budget.limit
    assert "search" not in found.facts
    assert found.facts["note"].startswith("a random plan, not judged: ")
    again = step(method="random_at_budget", budget_tolerance=0.1).run(work, make_context(tmp_path / "again", budget))
    assert again.facts["plan"] == found.facts["plan"]
    assert same_weights(again.generator, found.generator)
    others = {
        step(method="random_at_budget", budget_tolerance=0.1)
        .run(work, make_context(tmp_path / str(seed), budget, seed=seed))
        .facts["plan"]
        for seed in range(5)
    }
    assert len(others) > 2


def test_what_a_search_cannot_do_is_said(tmp_path):
    work = make_work()
    with pytest.raises(ConfigError, match="search: got no budget"):
        step().run(work, make_context(tmp_path, None))
    broken = torch.nn.Parameter(torch.full_like(work.generator.state["stem.conv.weight"], torch.nan))
    work.generator.state["stem.conv.weight"] = broken.detach()
    with pytest.raises(BudgetError, match="no candidate has a finite"):
        step().run(work, make_context(tmp_path / "broken", budget_of(make_work(), tmp_path)))


def timed(monkeypatch, ms) -> None:
    """In place of a runtime: milliseconds of a module from the number of its weights."""

    def weights(modules, shapes, target, say=print):
        return [ms(sum(p.numel() for p in module.parameters())) for module in modules]

    monkeypatch.setattr("gancompress.latency.learn.times_of", weights)
    monkeypatch.setattr("gancompress.steps.costs.measure_network", lambda generator, example, target: 7.5)


LATENCY = Budget(20.0, "latency", Target("eager", 1))


def test_a_budget_in_milliseconds_counts_what_was_measured_and_is_measured_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path / "cache"))
    timed(monkeypatch, lambda weights: 1.0 + weights / 1e3)
    found = step().run(make_work(), make_context(tmp_path / "search", LATENCY))
    candidates = found.facts["search"]["candidates"]
    (chosen,) = [candidate for candidate in candidates if candidate["chosen"]]
    assert all(candidate["cost"] <= LATENCY.limit for candidate in candidates)
    assert found.facts["search"]["cost_name"] == "ms (eager, 1 threads)"
    latency = found.facts["latency"]
    assert (latency["budget_ms"], latency["measured_ms"], latency["predicted_ms"]) == (20.0, 7.5, chosen["cost"])
    assert latency["relative_error"] == chosen["cost"] / 7.5 - 1
    assert "7.50 ms measured on eager, 1 threads" in found.facts["note"]
    # What was measured belongs to the step: on another day it goes on with the same costs.
    timed(monkeypatch, lambda weights: 100.0)
    again = step().run(make_work(), make_context(tmp_path / "search", LATENCY))
    assert again.facts["search"] == found.facts["search"]
    assert same_weights(again.generator, found.generator)


def test_a_budget_in_milliseconds_out_of_reach_says_what_is_in_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path / "cache"))
    timed(monkeypatch, lambda weights: 1.0 + weights / 1e3)
    budget = Budget(0.5, "latency", Target("eager", 1))
    message = r"got 0\.50 ms \(eager, 1 threads\), but the smallest reachable cost is \d+\.\d\d ms \(eager, 1 threads\)"
    with pytest.raises(BudgetError, match=message):
        step().run(make_work(), make_context(tmp_path / "search", budget))


@pytest.mark.parametrize("stopped", [True, False])
def test_ctrl_c_while_layers_are_timed_is_no_error(tmp_path, monkeypatch, stopped):
    def ended(*_):
        raise ExportError("bench: eager on 7.pt2 ended with status -2 before it had an answer")

    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gancompress.latency.learn.times_of", ended)
    with pytest.raises(Interrupted if stopped else ExportError):
        step().run(make_work(), make_context(tmp_path / "search", LATENCY, stop=lambda: stopped))
