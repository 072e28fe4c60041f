"""Search loop: propose, claim, evaluate and record plans until none is left."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gancompress.architecture_search.affordable import AffordablePlans
from gancompress.architecture_search.crowd import Crowd
from gancompress.architecture_search.options import Objective, SearchOptions
from gancompress.architecture_search.registry import METHODS, Method
from gancompress.architecture_search.result import SearchResult
from gancompress.architecture_search.space import SearchSpace, Values
from gancompress.architecture_search.storage import opened, quiet
from gancompress.architecture_search.trials import TrialLog, Trials
from gancompress.channels import ChannelPlan
from gancompress.errors import ConfigError

_MAY_CHANGE = {"num_candidates", "stale_after_s"}

Progress = Callable[[SearchResult, int], None]


def search(
    space: SearchSpace,
    cost: Callable[[ChannelPlan], float],
    budget: float | None,
    evaluate: Callable[[ChannelPlan], Mapping[str, float]],
    objective: Objective,
    options: SearchOptions,
    *,
    storage: Path | str | None,
    seed: int = 0,
    name: str = "search",
    unit: str = "MACs",
    progress: Progress | None = None,
    spent: Callable[[], Mapping[str, float]] = dict,
) -> SearchResult:
    """Find the best plan within a budget.

    The same call continues a search that was stopped at any moment: no plan is evaluated twice, and the plans come in
    the same order. Any number of processes and machines can make the call at once, each in one thread; they share the
    candidates, and each returns all of them once the last is finished. The candidates do not depend on the number of
    processes, nor on which of them are killed: a method that breeds waits for its whole earlier generation.

    Args:
        space: The plans to choose from.
        cost: Cost of a plan, growing with its widths; `gancompress.cost.CostModel` gives it in microseconds.
        budget: The cost that no candidate exceeds; None for no limit.
        evaluate: Returns the metrics of a plan. If it raises, the search ends, and the next call evaluates that plan
            again.
        objective: The metric that decides.
        options: Method and its numbers.
        storage: Path of a journal file, URL of a database (``postgresql://...``, ``mysql://...``), or None to
            keep nothing.
        seed: Seed of the search, at least 0.
        name: Tells the searches in one storage apart.
        unit: Name of the unit of cost, for messages.
        progress: Called with the result of all candidates finished so far, in any process, and the largest number of
            candidates: first before any evaluation, then whenever there are more.
        spent: Called after each evaluation; returns the seconds of its parts, which are kept with the candidate.

    Raises:
        BudgetError: Even the smallest plan exceeds the budget; the message says what it costs.
        ConfigError: The seed is negative, the storage is unusable or holds another search, the metrics lack the
            objective, or there are too many plans for an exhaustive search.
        TrainingError: The database was lost.
    """
    if seed < 0:
        raise ConfigError(f"seed: got {seed}, expected at least 0")
    plans = AffordablePlans(space, cost, budget, unit)
    settings = _settings(plans, objective, options, seed)
    with opened(storage) as kept:
        with quiet():
            log = TrialLog(kept, name, space, objective, options, settings)
            method = METHODS.find(options.method)(plans, objective, options, seed)
        num_reported, crowd = -1, Crowd(random.Random())
        while True:
            trials = log.read()
            if progress is not None and len(trials.finished) != num_reported:
                num_reported = len(trials.finished)
                progress(SearchResult(objective, budget, tuple(trials.finished)), method.num_candidates)
            crowd.seen(len(trials.running))
            skip = crowd.skip()
            free = _free(method, trials, skip + 1)
            if not free and not trials.running:
                return SearchResult(objective, budget, tuple(trials.finished))
            if not free:
                time.sleep(crowd.pause_s())  # others are at work; if one dies, its plan is evaluated again
                continue
            index, values = free[skip % len(free)]
            claim = log.claim(index, values, plans.cost(values))
            crowd.claimed(claim is not None)
            if claim is None:
                continue
            with log.evaluating(claim):
                metrics = evaluate(space.plan(values))
                log.finish(claim, metrics, spent())


def _free(method: Method, trials: Trials, count: int) -> list[tuple[int, Values]]:
    """Return the numbers and plans of the first candidates that no process has finished or evaluates.

    The plans of earlier free ones are taken as given, as every plan depends on the earlier ones. A generation begins
    once the earlier ones, which it is bred from, are finished.
    """
    plans = {each.index: each.values for each in trials.finished} | trials.running
    unfinished, found = min(trials.running, default=method.num_candidates), list[tuple[int, Values]]()
    generation = getattr(method, "generation", None) or method.num_candidates
    for index in range(trials.next_index, method.num_candidates):
        if index in plans:
            continue
        if unfinished < index - index % generation:
            break
        values = _proposal(method, trials, index, plans)
        if values is None:
            break
        found.append((index, values))
        if len(found) == count:
            break
        plans[index], unfinished = values, min(unfinished, index)
    return found


def _proposal(method: Method, trials: Trials, index: int, plans: Mapping[int, Values]) -> Values | None:
    """Return the plan of an index, which depends on the plans of lower ones alone."""
    earlier = {values for number, values in plans.items() if number < index}
    abandoned, taken = trials.abandoned.get(index), set(plans.values())
    if abandoned is not None and abandoned not in taken:
        return abandoned
    values = method.propose(index, trials.finished, earlier)
    return method.propose(index, trials.finished, taken) if values in taken else values


def _settings(plans: AffordablePlans, objective: Objective, options: SearchOptions, seed: int) -> dict[str, Any]:
    """Return the settings that must not change while a search continues; two costs represent the cost function."""
    space = plans.space
    described = repr((space.slots, space.choices, sorted(space.rest.items()), *space.stages))
    return {
        "space": hashlib.sha256(described.encode()).hexdigest(),
        "cost": [plans.cost(space.smallest), plans.cost(space.largest)],
        "budget": plans.budget,
        **objective.model_dump(),
        **options.model_dump(exclude=_MAY_CHANGE),
        "seed": seed,
    }
