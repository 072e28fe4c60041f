"""The search as a step: what it measures, what it costs, and the random plan that it is compared with."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import nn

from gancompress.architecture_search import SearchOptions
from gancompress.cost import CostModel
from gancompress.data.kinds.procedural import ProceduralSet
from gancompress.deploy.latency import Target
from gancompress.errors import BudgetError, ConfigError, ExportError, Interrupted
from gancompress.evaluation import NetworkSpec, find_metric, psnr
from gancompress.jobs.steps import Search, candidates
from gancompress.jobs.steps.candidates import SplitProxy, candidates_of
from gancompress.jobs.steps.spaces import SpaceOptions
from gancompress.methods.budget import CostLimit
from tests.jobs.steps.small_work import macs_of, make_surroundings, make_work, same_weights

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


def budget_of(work, tmp_path, fraction: float = 0.4) -> CostLimit:
    return CostLimit(fraction * macs_of(work, make_surroundings(tmp_path / "measuring", None)))


def test_the_best_candidate_is_cut_out_and_its_time_is_told(tmp_path):
    work = make_work()
    budget = budget_of(work, tmp_path)
    around = make_surroundings(tmp_path / "search", budget)
    found = step().run(work, *around)
    facts = found.facts
    candidates = facts["search"]["candidates"]
    (chosen,) = [candidate for candidate in candidates if candidate["chosen"]]
    assert chosen["value"] == max(candidate["value"] for candidate in candidates)
    assert chosen["plan"] == facts["plan"]
    assert chosen["cost"] <= macs_of(found, around) == facts["search"]["final_cost"] <= budget.limit
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
    around = make_surroundings(tmp_path / "search", budget_of(work, tmp_path))
    drawn.clear()
    step().run(work, *around)
    assert [index for split, index in drawn if split == "search"] == list(range(6))
    assert [index for split, index in drawn if split == "train"] == (list(range(8)) if calibrated else [])


def test_a_stopped_search_goes_on_with_the_times_of_its_candidates(tmp_path):
    work = make_work()
    budget = budget_of(work, tmp_path)
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        step().run(work, *make_surroundings(tmp_path / "search", budget, stop=lambda: next(asked)))
    resumed = step().run(work, *make_surroundings(tmp_path / "search", budget))
    whole = step().run(work, *make_surroundings(tmp_path / "whole", budget))
    assert resumed.facts["search"] == whole.facts["search"]
    assert len(resumed.facts["candidate_seconds"]) == 4
    assert same_weights(resumed.generator, whole.generator)


def test_a_random_plan_at_the_budget_is_one_option_away_and_measures_nothing(tmp_path, drawn, monkeypatch):
    work = make_work()
    budget = budget_of(work, tmp_path)
    monkeypatch.setattr(candidates, "Evaluation", None)  # would fail if it were used
    around = make_surroundings(tmp_path / "search", budget)
    drawn.clear()
    found = step(method="random_at_budget", budget_tolerance=0.1).run(work, *around)
    assert all(split == "test" for split, _ in drawn)  # examples for tracing
    assert 0.9 * budget.limit <= macs_of(found, around) <= budget.limit
    assert "search" not in found.facts
    assert found.facts["note"].startswith("a random plan, not measured; ")
    again = step(method="random_at_budget", budget_tolerance=0.1).run(
        work, *make_surroundings(tmp_path / "again", budget)
    )
    assert again.facts["plan"] == found.facts["plan"]
    assert same_weights(again.generator, found.generator)
    others = {
        step(method="random_at_budget", budget_tolerance=0.1)
        .run(work, *make_surroundings(tmp_path / str(seed), budget, seed=seed))
        .facts["plan"]
        for seed in range(5)
    }
    assert len(others) > 2


def test_what_a_search_cannot_do_is_said(tmp_path):
    work = make_work()
    broken = torch.nn.Parameter(torch.full_like(work.generator.state["stem.conv.weight"], torch.nan))
    work.generator.state["stem.conv.weight"] = broken.detach()
    with pytest.raises(BudgetError, match="no candidate has a finite"):
        step().run(work, *make_surroundings(tmp_path / "broken", budget_of(make_work(), tmp_path)))


def timed(monkeypatch, ms) -> None:
    """In place of a runtime: milliseconds of a module from the number of its weights."""

    def weights(modules, shapes, target, say=print):
        return [ms(sum(p.numel() for p in module.parameters())) for module in modules]

    monkeypatch.setattr("gancompress.deploy.latency.learn.times_of", weights)
    monkeypatch.setattr("gancompress.methods.costs.measure_network", lambda generator, example, target: 7.5)


LATENCY = CostLimit(20.0, "latency", Target("eager", 1))


def test_a_budget_in_milliseconds_counts_what_was_measured_and_is_measured_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path / "cache"))
    timed(monkeypatch, lambda weights: 1.0 + weights / 1e3)
    found = step().run(make_work(), *make_surroundings(tmp_path / "search", LATENCY))
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
    again = step().run(make_work(), *make_surroundings(tmp_path / "search", LATENCY))
    assert again.facts["search"] == found.facts["search"]
    assert same_weights(again.generator, found.generator)


def test_a_budget_in_milliseconds_out_of_reach_says_what_is_in_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path / "cache"))
    timed(monkeypatch, lambda weights: 1.0 + weights / 1e3)
    budget = CostLimit(0.5, "latency", Target("eager", 1))
    message = r"got 0\.50 ms \(eager, 1 threads\), but the smallest reachable cost is \d+\.\d\d ms \(eager, 1 threads\)"
    with pytest.raises(BudgetError, match=message):
        step().run(make_work(), *make_surroundings(tmp_path / "search", budget))


@pytest.mark.parametrize("stopped", [True, False])
def test_ctrl_c_while_layers_are_timed_is_no_error(tmp_path, monkeypatch, stopped):
    def ended(*_):
        raise ExportError("bench: eager on 7.pt2 ended with status -2 before it had an answer")

    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gancompress.deploy.latency.learn.times_of", ended)
    with pytest.raises(Interrupted if stopped else ExportError):
        step().run(make_work(), *make_surroundings(tmp_path / "search", LATENCY, stop=lambda: stopped))


def test_the_record_says_how_sure_the_choice_is_and_how_much_of_the_budget_is_left(tmp_path):
    work = make_work()
    budget = budget_of(work, tmp_path)
    around = make_surroundings(tmp_path / "search", budget)
    found = step(num_candidates=6).run(work, *around)
    facts = found.facts
    assert facts["unused_budget"] == pytest.approx(1 - macs_of(found, around) / budget.limit)
    assert 0 <= facts["unused_budget"] < 0.02
    chosen = next(each for each in facts["search"]["candidates"] if each["chosen"])
    values = {each["plan"]: each["value"] for each in facts["search"]["candidates"]}
    assert {each["plan"] for each in facts["differences"]} == set(values) - {chosen["plan"]}
    for each in facts["differences"]:
        assert each["value"] == pytest.approx(values[each["plan"]] - chosen["value"])
        assert each["low"] <= each["value"] <= each["high"]
    undecided = sum(each["low"] <= 0 <= each["high"] for each in facts["differences"])
    assert (facts["search"]["num_compared"], facts["search"]["num_undecided"]) == (5, undecided)
    assert f"{undecided} of the 5 next best cannot be distinguished from the chosen one" in facts["note"]


def test_what_the_best_plan_leaves_of_the_budget_widens_single_groups(tmp_path):
    work = make_work()
    budget = budget_of(work, tmp_path)
    around = make_surroundings(tmp_path / "search", budget)
    found = step(num_candidates=1, budget_tolerance=1.0).run(work, *around)
    graph = around.inputs.graph(work.generator, multiple=2, minimum=2)
    space = SPACE.of(work.generator, graph)
    plan, cost = space.plan(space.parse(found.facts["plan"])), CostModel(graph)
    assert cost.macs(plan).true < 0.98 * budget.limit  # a plan as drawn
    filled = {**plan.widths, **{name: width for name, (_, width) in found.facts["widened"].items()}}
    assert macs_of(found, around) == cost.macs(graph.plan(filled)).true > 0.98 * budget.limit
    assert all(plan.widths[name] == before < after for name, (before, after) in found.facts["widened"].items())
    assert f"groups widened: {len(found.facts['widened'])}" in found.facts["note"]


@pytest.mark.parametrize("of", ["parameters", "bytes"])
def test_other_budgets_are_spent_too(tmp_path, of):
    work = make_work()
    graph = make_surroundings(tmp_path / "measuring", None).inputs.graph(work.generator)
    budget = CostLimit(0.3 * CostLimit(math.inf, of).cost(graph)(graph.full_plan()), of)
    found = step(num_candidates=3).run(work, *make_surroundings(tmp_path / "search", budget))
    narrow = make_surroundings(tmp_path / "measuring", None).inputs.graph(found.generator)
    assert 0.95 * budget.limit <= CostLimit(math.inf, of).cost(narrow)(narrow.full_plan()) <= budget.limit


@pytest.mark.parametrize(("against", "used"), [(None, "teacher"), ("teacher", "teacher"), ("real", "real")])
def test_candidates_are_compared_with_the_teacher_by_default(tmp_path, against, used):
    work = make_work()
    budget = budget_of(work, tmp_path)
    around = make_surroundings(tmp_path / "search", budget)
    found = step(num_candidates=1).model_copy(update={"against": against}).run(work, *around)
    (candidate,) = found.facts["search"]["candidates"]
    networks = candidates_of(work, SPACE, 1, *around)
    network = networks.network(networks.space.plan(networks.space.parse(candidate["plan"])))
    values = []
    with torch.no_grad():
        for batch in around.inputs.images("search", 4):
            reference = work.generator.build()(batch["input"]) if used == "teacher" else batch["target"]
            values.append(psnr(network(batch["input"]), reference))
    assert candidate["value"] == pytest.approx(float(torch.cat(values).mean()), abs=1e-3)


@pytest.mark.parametrize(("metric", "used"), [("psnr", "teacher"), ("fd_x", "teacher"), ("miou_x", "real")])
def test_metrics_that_compare_nothing_with_a_teacher_take_real_images(metric, used):
    found, _ = find_metric(metric, {"x": NetworkSpec(Path("x"))})
    assert Search(metric=metric).compares_with(found) == used


class Noisy(nn.Module):
    """Adds noise of its own to what it is given."""

    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


def test_every_candidate_gets_the_same_noise(tmp_path):
    work = make_work()
    around = make_surroundings(tmp_path / "search", budget_of(work, tmp_path))
    proxy = SplitProxy(work, "psnr", "real", None, around.inputs, around.run, around.goal.metrics)
    torch.manual_seed(0)
    first = proxy.of(Noisy())
    before = torch.get_rng_state()
    assert proxy.of(Noisy()) == first
    assert torch.equal(torch.get_rng_state(), before)  # and takes from nobody else's numbers


VERIFY = {
    "num_plans": 4,
    "distillation": {"terms": [{"kind": "l1", "weight": 100}]},
    "training": {"num_images": 2, "batch_size": 1, "checkpoint_every": 1, "log_every": 1, "preview_every": 0},
}


def verified_step() -> Search:
    return Search(**{**dict(step(num_candidates=2)), "verify": VERIFY})


def test_the_proxy_is_checked_by_fine_tuning_random_plans(tmp_path):
    work = make_work()
    budget = budget_of(work, tmp_path)
    found = verified_step().run(work, *make_surroundings(tmp_path / "search", budget))
    verified, agreement = found.facts["verified"], found.facts["agreement"]
    assert len({each["plan"] for each in verified}) == 4
    assert all(each["before"]["psnr"] != each["after"]["psnr"] for each in verified)
    before, after = ([each[when]["psnr"] for each in verified] for when in ("before", "after"))
    assert agreement["spearman"] == pytest.approx(stats.spearmanr(before, after).statistic)
    assert agreement["kendall"] == pytest.approx(stats.kendalltau(before, after).statistic)
    assert found.facts["search"]["agreement"] == agreement
    assert "psnr before and after fine-tuning 4 plans: Spearman" in found.facts["note"]
    # the check changes nothing of what the search finds
    without = step(num_candidates=2).run(work, *make_surroundings(tmp_path / "without", budget))
    assert same_weights(found.generator, without.generator)
    assert without.facts["search"]["agreement"] is None


def test_a_stopped_check_goes_on_with_the_plans_that_are_left(tmp_path):
    work = make_work()
    budget = budget_of(work, tmp_path)
    whole = verified_step().run(work, *make_surroundings(tmp_path / "whole", budget))
    results = tmp_path / "search" / "verify"

    def two_are_finished() -> bool:
        return len(list(results.glob("*/result.json"))) == 2

    with pytest.raises(Interrupted):
        verified_step().run(work, *make_surroundings(tmp_path / "search", budget, stop=two_are_finished))
    written = {file: file.stat().st_mtime_ns for file in results.glob("*/result.json")}
    assert len(written) == 2
    resumed = verified_step().run(work, *make_surroundings(tmp_path / "search", budget))
    assert resumed.facts["verified"] == whole.facts["verified"]
    assert all(file.stat().st_mtime_ns == time for file, time in written.items())


def test_a_check_without_a_proxy_or_with_too_few_plans_is_refused():
    with pytest.raises(ConfigError, match=r"verify: got options\.method random_at_budget, which measures no plan"):
        Search(options={"method": "random_at_budget"}, verify=VERIFY)
    with pytest.raises(ConfigError, match=r"verify\.num_plans: got 3"):
        Search(verify={**VERIFY, "num_plans": 3})
