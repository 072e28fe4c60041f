"""Searches: what they find, within which budget, and that they can be stopped, resumed and shared."""

from __future__ import annotations

import json
import math
import threading
from itertools import product

import pytest
import torch

from gancompress.architecture_search import Objective, SearchOptions, plans_at_budget, search
from gancompress.architecture_search.affordable import AffordablePlans
from gancompress.errors import BudgetError, ConfigError

from .problems import (
    FID,
    LARGE,
    PROCESSES,
    SMALL,
    cost,
    distance,
    evaluated,
    logged,
    work,
    work_and_die,
    work_together,
    work_until_the_disk_is_full,
)

METHODS = ["exhaustive", "random", "evolutionary", "nsga2"]
AFFORDABLE = {SMALL.text(values) for values in product(*SMALL.choices) if cost(SMALL.plan(values)) <= 900}


def options(method: str, **others) -> SearchOptions:
    return SearchOptions(method=method, **{"population": 8, "num_candidates": 40, "budget_tolerance": 1.0, **others})


def texts(result) -> list[str]:
    return [candidate.text for candidate in result.candidates]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_exhaustive_finds_the_optimum(direction):
    objective = Objective(metric="fid", direction=direction)
    found = search(SMALL, cost, 900, distance, objective, SearchOptions(method="exhaustive"), storage=None)
    assert sorted(texts(found)) == sorted(AFFORDABLE)
    assert texts(found)[:10] != sorted(AFFORDABLE)[:10]
    best = (min if direction == "minimize" else max)(
        distance(SMALL.plan(SMALL.parse(text)))["fid"] for text in AFFORDABLE
    )
    assert found.best is not None
    assert found.best.metrics["fid"] == best


@pytest.mark.parametrize("seed", range(3))
def test_evolution_finds_the_optimum_among_millions_and_random_does_not(seed):
    budget = 0.4 * cost(LARGE.plan(LARGE.largest))

    def best(method, num_candidates):
        settings = options(method, num_candidates=num_candidates, population=20)
        found = search(LARGE, cost, budget, distance, FID, settings, storage=None, seed=seed).best
        assert found is not None
        assert found.cost <= budget
        return found.metrics["fid"]

    assert best("evolutionary", 400) == 0
    assert best("random", 800) > 1_000


def test_nsga2_finds_a_better_front_than_random():
    corner = (0.5 * cost(LARGE.plan(LARGE.largest)), 15_000.0)

    def dominated_area(method, num_candidates):
        settings = options(method, num_candidates=num_candidates, population=20)
        found = search(LARGE, cost, None, distance, FID, settings, storage=None, seed=1)
        points = [(c.cost, c.metrics["fid"]) for c in found.front]
        inside = [point for point in points if point[0] < corner[0] and point[1] < corner[1]]
        ends = [*(cost for cost, _ in inside[1:]), corner[0]]
        return sum((end - cost) * (corner[1] - fid) for (cost, fid), end in zip(inside, ends, strict=True))

    assert dominated_area("nsga2", 240) > 1.15 * dominated_area("random", 720)


@pytest.mark.parametrize("method", METHODS)
def test_every_candidate_is_within_the_budget_and_none_comes_twice(method):
    seen = []
    found = search(
        SMALL,
        cost,
        900,
        distance,
        FID,
        options(method, num_candidates=200),
        storage=None,
        progress=lambda *step: seen.append(step),
    )
    assert sorted(texts(found)) == sorted(AFFORDABLE)  # fewer than asked for: all there are
    assert all(c.cost == cost(c.plan) <= 900 for c in found.candidates)
    assert [so_far.candidates for so_far, _ in seen] == [found.candidates[:n] for n in range(len(AFFORDABLE) + 1)]
    assert {total for _, total in seen} == {len(AFFORDABLE) if method == "exhaustive" else SMALL.size}


@pytest.mark.parametrize("method", METHODS)
def test_a_budget_that_only_the_smallest_plan_meets_is_met(method):
    found = search(LARGE, cost, cost(LARGE.plan(LARGE.smallest)), distance, FID, options(method), storage=None)
    assert [c.values for c in found.candidates] == [LARGE.smallest]


@pytest.mark.parametrize("budget", [1_700.0, math.nan])
def test_an_infeasible_budget_is_refused_at_once(tmp_path, budget):
    smallest = cost(LARGE.plan(LARGE.smallest))
    with pytest.raises(
        BudgetError, match=f"budget: got .* parameters, but the smallest reachable cost is {smallest:,.0f}"
    ):
        search(
            LARGE, cost, budget, distance, FID, options("random"), storage=tmp_path / "journal.log", unit="parameters"
        )
    assert not list(tmp_path.iterdir())


def test_draws_are_narrowed_when_none_fits():
    tight = 1.1 * cost(LARGE.plan(LARGE.smallest))
    plans = AffordablePlans(LARGE, cost, tight)
    random = torch.Generator().manual_seed(0)
    taken = set()
    for _ in range(len(list(LARGE.within(plans.fits)))):
        values = plans.first_new(lambda: LARGE.sample(random), taken, random, num_draws=20)
        assert values is not None
        assert plans.fits(values)
        assert values not in taken
        taken.add(values)
    assert plans.first_new(lambda: LARGE.sample(random), taken, random, num_draws=20) is None


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_candidates(method):
    first, again = (texts(search(SMALL, cost, 900, distance, FID, options(method), storage=None)) for _ in range(2))
    assert first == again
    assert first != texts(search(SMALL, cost, 900, distance, FID, options(method), storage=None, seed=1))


@pytest.mark.parametrize("method", METHODS)
def test_killed_and_resumed_equals_uninterrupted(tmp_path, method):
    settings = {"method": method, "population": 6, "num_candidates": 25}
    journal, log = tmp_path / "run" / "journal.log", tmp_path / "log"
    for after in (9, 4):
        process = PROCESSES.Process(target=work_and_die, args=(settings, journal, log, after))
        process.start()
        process.join(60)
        assert process.exitcode == -9
    assert len(evaluated(log)) == 13
    resumed = work(settings, journal, logged(log))
    whole = work(settings, None)
    assert evaluated(log) == texts(whole)
    assert resumed == whole


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_and_resumed_in_one_process_equals_uninterrupted(tmp_path, method):
    settings = {"method": method, "population": 6, "num_candidates": 25}
    log = tmp_path / "log"

    def interrupt(count):
        if count == 8:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            work(settings, tmp_path / "journal.log", logged(log, before=interrupt))
    assert len(evaluated(log)) == 16
    assert work(settings, tmp_path / "journal.log", logged(log)) == work(settings, None)
    assert evaluated(log) == texts(work(settings, None))


def test_a_full_disk_loses_nothing(tmp_path):
    settings = {"method": "evolutionary", "population": 6, "num_candidates": 25}
    journal, log = tmp_path / "journal.log", tmp_path / "log"
    process = PROCESSES.Process(target=work_until_the_disk_is_full, args=(settings, journal, 10))
    process.start()
    process.join(60)
    assert process.exitcode == 28
    assert work(settings, journal, logged(log)) == work(settings, None)
    assert len(evaluated(log)) == 15


@pytest.mark.parametrize(
    ("method", "num_candidates", "die_after", "storage"),
    [
        ("exhaustive", None, -1, "journal.log"),
        ("evolutionary", None, -1, "journal.log"),
        ("exhaustive", None, 5, "journal.log"),
        ("exhaustive", 20, -1, "sqlite:///{folder}/studies.db"),
    ],
)
def test_processes_share_one_search(tmp_path, method, num_candidates, die_after, storage):
    settings = {"method": method, "population": 6, "num_candidates": num_candidates}
    alone = json.loads(work(settings, None).to_json())
    where = storage.format(folder=tmp_path) if "://" in storage else tmp_path / storage
    both = PROCESSES.Barrier(2)
    processes = []
    for i in range(2):
        names = (where, tmp_path / f"log{i}", tmp_path / f"result{i}")
        process = PROCESSES.Process(target=work_together, args=(settings, *names, both, die_after if i else -1))
        process.start()
        processes.append(process)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, -9 if die_after >= 0 else 0]
    first, second = (evaluated(tmp_path / f"log{i}") for i in range(2))
    assert len(first) > 2
    assert len(second) > 2
    assert len(first + second) == len({*first, *second})  # divided, none evaluated twice
    assert sorted(first + second) == sorted(c["plan"] for c in alone["candidates"])
    result = json.loads((tmp_path / "result0").read_text())
    assert sorted(c["plan"] for c in result["candidates"]) == sorted(first + second)
    assert result == alone
    if die_after < 0:
        assert result == json.loads((tmp_path / "result1").read_text())


def test_a_database_keeps_a_search_like_a_journal(tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    settings = {"method": "evolutionary", "population": 6, "num_candidates": 14}

    def interrupt(count):
        if count == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(settings, url, logged(tmp_path / "log", before=interrupt))
    assert work(settings, url, logged(tmp_path / "log")) == work(settings, None)
    assert len(evaluated(tmp_path / "log")) == 14


def test_a_search_can_be_prolonged(tmp_path):
    settings = {"method": "evolutionary", "population": 6}
    short = work({**settings, "num_candidates": 10}, tmp_path / "journal.log")
    assert len(short.candidates) == 10
    assert work({**settings, "num_candidates": 25}, tmp_path / "journal.log") == work(
        {**settings, "num_candidates": 25}, None
    )


def test_candidates_without_a_finite_metric_are_kept_and_never_bred_from():
    broken = {SMALL.plan(SMALL.parse(text)) for text in sorted(AFFORDABLE)[::2]}

    def evaluate(plan):
        return {"fid": math.nan} if plan in broken else distance(plan)

    for method in METHODS:
        found = search(SMALL, cost, 900, evaluate, FID, options(method), storage=None)
        assert len(found.candidates) == 40
        assert any(math.isnan(c.metrics["fid"]) for c in found.candidates)
        assert found.best is not None
        assert math.isfinite(found.best.metrics["fid"])


def test_a_failed_evaluation_is_repeated_by_the_next_call(tmp_path):
    threads_before = threading.active_count()

    def fail(count):
        if count == 3:
            raise RuntimeError("out of memory")

    settings = {"method": "random", "num_candidates": 6}
    with pytest.raises(RuntimeError, match="out of memory"):
        work(settings, tmp_path / "journal.log", logged(tmp_path / "log", before=fail))
    with pytest.raises(ConfigError, match="no metric 'fid'; known: miou"):
        work(settings, tmp_path / "journal.log", lambda plan: {"miou": 0.0})
    assert threading.active_count() == threads_before
    assert work(settings, tmp_path / "journal.log", logged(tmp_path / "log")) == work(settings, None)
    assert len(evaluated(tmp_path / "log")) == 6


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"budget": 800.0}, "budget"),
        ({"seed": 1}, "seed"),
        ({"space": LARGE, "budget": None}, "space, cost, budget"),
        ({"cost": lambda plan: 2 * cost(plan), "budget": None}, "cost, budget"),
        ({"objective": Objective(metric="miou", direction="maximize")}, "metric, direction"),
        ({"options": options("random", mutation_rate=0.3)}, "mutation_rate"),
        ({"options": options("nsga2")}, "method"),
    ],
)
def test_another_search_in_the_same_storage_is_refused(tmp_path, changed, named):
    call = {
        "space": SMALL, "cost": cost, "budget": 900.0, "evaluate": distance, "objective": FID,
        "options": options("random", num_candidates=2), "storage": tmp_path / "journal.log",
    }  # fmt: skip
    search(**call)
    with pytest.raises(ConfigError, match=rf"holds a search 'search' with other settings \({named}\)"):
        search(**{**call, **changed})
    search(**{**call, **changed, "evaluate": lambda plan: {**distance(plan), "miou": 0.0}, "name": "another"})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"methd": "random"}, "methd: unknown option, did you mean 'method'"),
        (
            {"method": "annealing"},
            "method: got 'annealing', expected a search method; known: evolutionary, exhaustive, nsga2, random, ",
        ),
        ({"mutation_rate": 1.5}, "mutation_rate: got 1.5"),
        ({"population": 4}, "parent_fraction: 0.25 of a population of 4 gives 1 parents, expected at least 2"),
    ],
)
def test_wrong_options_are_named(wrong, message):
    with pytest.raises(ConfigError, match=message):
        SearchOptions(**wrong)


@pytest.mark.parametrize("fraction", [0.12, 0.3, 0.6])
def test_a_random_plan_at_the_budget_costs_just_what_the_budget_allows(fraction):
    budget = fraction * cost(LARGE.plan(LARGE.largest))
    found = [
        search(LARGE, cost, budget, distance, FID, SearchOptions(method="random_at_budget"), storage=None, seed=seed)
        for seed in (0, 0, *range(1, 12))
    ]
    assert {len(result.candidates) for result in found} == {1}
    assert all(0.98 * budget <= result.candidates[0].cost <= budget for result in found)
    assert found[0] == found[1]
    assert len({result.candidates[0].values for result in found}) >= 10  # other seeds draw other plans


def test_a_random_plan_at_the_budget_that_does_not_exist_is_refused():
    options = SearchOptions(method="random_at_budget", budget_tolerance=0.001)
    budget = 1.2 * cost(SMALL.plan(SMALL.largest))
    closest = SMALL.text(SMALL.largest)
    with pytest.raises(
        BudgetError, match=rf"got no plan that costs .*the closest, {closest}, costs .*raise budget_tol"
    ):
        search(SMALL, cost, budget, distance, FID, options, storage=None)
    with pytest.raises(ConfigError, match="got no budget, expected one for a random plan at the budget"):
        search(SMALL, cost, None, distance, FID, options, storage=None)


@pytest.mark.parametrize("method", ["random", "evolutionary"])
@pytest.mark.parametrize("fraction", [0.12, 0.3, 0.6])
def test_candidates_are_proposed_close_to_the_budget(method, fraction):
    budget = fraction * cost(LARGE.plan(LARGE.largest))
    settings = SearchOptions(method=method, population=8, num_candidates=40)
    found = search(LARGE, cost, budget, distance, FID, settings, storage=None)
    assert len(found.candidates) == 40
    assert all(candidate.cost <= budget for candidate in found.candidates)
    plans = AffordablePlans(LARGE, cost, budget)
    below = [candidate for candidate in found.candidates if candidate.cost < 0.98 * budget]
    assert len(below) <= 4
    assert not any(plans.fits(wider) for candidate in below for wider in LARGE.wider(candidate.values))


def test_a_plan_below_the_budget_is_proposed_only_where_no_choice_is_wider():
    budget = 900.0
    settings = SearchOptions(method="random", num_candidates=200)
    found = search(SMALL, cost, budget, distance, FID, settings, storage=None)
    plans = AffordablePlans(SMALL, cost, budget)
    affordable = [values for values in product(*SMALL.choices) if plans.fits(values)]
    expected = {
        values
        for values in affordable
        if plans.cost(values) >= 0.98 * budget or not any(map(plans.fits, SMALL.wider(values)))
    }
    assert {candidate.values for candidate in found.candidates} == expected  # all of them, and nothing else
    assert 1 < len(expected) < len(affordable)


def test_random_plans_at_a_budget_differ_and_spend_it():
    budget = 0.3 * cost(LARGE.plan(LARGE.largest))
    found = plans_at_budget(LARGE, cost, budget, 20, tolerance=0.02)
    assert len(set(found)) == 20
    assert all(0.98 * budget <= cost(LARGE.plan(values)) <= budget for values in found)
    assert found == plans_at_budget(LARGE, cost, budget, 20, tolerance=0.02)
    assert found != plans_at_budget(LARGE, cost, budget, 20, tolerance=0.02, seed=1)


def test_too_few_plans_at_a_budget_are_refused():
    smallest = cost(SMALL.plan(SMALL.smallest))
    message = r"search: got 1 plans that cost 212 parameters to 216 parameters, expected 2; raise budget_tol"
    with pytest.raises(BudgetError, match=message):
        plans_at_budget(SMALL, cost, smallest, 2, tolerance=0.02, unit="parameters")


def test_what_candidates_took_is_kept_with_them(tmp_path):
    turns = iter(range(100))
    call = (SMALL, cost, 900.0, distance, FID, options("random", num_candidates=4))
    found = search(*call, storage=tmp_path / "journal.log", spent=lambda: {"generation": float(next(turns))})
    assert [candidate.seconds for candidate in found.candidates] == [{"generation": float(n)} for n in range(4)]
    again = search(*call, storage=tmp_path / "journal.log")
    assert [candidate.seconds for candidate in again.candidates] == [{"generation": float(n)} for n in range(4)]
    assert [c["seconds"] for c in json.loads(again.to_json())["candidates"]] == [c.seconds for c in found.candidates]


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigError, match="seed: got -1"):
        search(SMALL, cost, None, distance, FID, options("random"), storage=None, seed=-1)


def test_too_many_plans_for_an_exhaustive_search_are_refused():
    with pytest.raises(ConfigError, match="more than 1,000,000 plans"):
        search(LARGE, cost, None, distance, FID, options("exhaustive"), storage=None)
