"""Search for the best plan of a supernet: candidates by a proxy, the rest of the budget, certainty of the choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gancompress.architecture_search import Candidate, Objective, SearchOptions, SearchResult
from gancompress.architecture_search import search as run_search
from gancompress.channels import ChannelPlan
from gancompress.cost import amount
from gancompress.errors import BudgetError
from gancompress.evaluation import RankAgreement, bootstrap_interval
from gancompress.evaluation.stopwatch import shares
from gancompress.methods.candidates import Candidates, Proxy
from gancompress.methods.costs import never
from gancompress.report import Candidate as ReportedCandidate

STORAGE_FILE = "search.journal"
Report = Callable[[SearchResult, int], None]
"""Takes all finished candidates and the largest number of candidates."""
CheckStop = Callable[[], None]
"""Raises if the user asked to stop."""
NUM_COMPARED = 10
"""Number of candidates compared with the chosen one: the next best ones."""


@dataclass(frozen=True)
class Difference:
    """Difference between a candidate's metric and the chosen one's, on the same images.

    Attributes:
        plan: The candidate.
        value: Its metric minus that of the chosen one.
        low: Lower end of the 95 % interval over the choice of images.
        high: Upper end.
    """

    plan: str
    value: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """True if the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Choice:
    """Best plan of a search.

    Attributes:
        chosen: The best candidate.
        plan: Its plan, with single groups widened to use up the budget.
        cost: Cost of that plan.
        limit: The budget, in the unit of the costs.
        unit: Name of the unit.
        result: All candidates.
        differences: Paired differences of the next best candidates from the chosen one; None for a metric of sets of
            images, for fewer than two images, and if nothing was measured.
    """

    chosen: Candidate
    plan: ChannelPlan
    cost: float
    limit: float
    unit: str
    result: SearchResult
    differences: tuple[Difference, ...] | None

    @property
    def is_measured(self) -> bool:
        """False for a random plan at the budget, the only candidate of its search."""
        return self.result.best is not None

    def search_facts(self, agreement: RankAgreement | None = None) -> dict[str, Any]:
        """Return facts of the candidates for the record of a step: their metrics, their times, the certainty.

        Args:
            agreement: Rank correlation of a verification of the search.
        """
        if not self.is_measured:
            return {"note": "a random plan, not measured"}
        metric, direction = self.result.objective.metric, self.result.objective.direction
        candidates = [
            asdict(ReportedCandidate(each.text, each.cost, each.metrics[metric], chosen=each is self.chosen))
            for each in self.result.candidates
        ]
        facts = {
            "metric": metric,
            "better": "lower" if direction == "minimize" else "higher",
            "cost_name": self.unit,
            "candidates": candidates,
            "budget": self.limit,
        }
        if self.differences:
            facts |= {"num_compared": len(self.differences), "num_undecided": num_undecided(self.differences)}
        seconds = [candidate.seconds for candidate in self.result.candidates]
        notes = [f"{len(candidates)} candidates, {shares(seconds)}", certainty(self.differences)]
        return {
            "search": {**facts, "final_cost": self.cost, "agreement": agreement and asdict(agreement)},
            "candidate_seconds": seconds,
            "differences": [asdict(each) for each in self.differences or ()],
            "note": "; ".join(filter(None, notes)),
        }

    def budget_facts(self) -> dict[str, Any]:
        """Return facts of the budget for the record of a step: the share that is used, the groups widened for it."""
        before = self.chosen.plan.widths
        widened = {group: [before[group], width] for group, width in self.plan.widths.items() if width != before[group]}
        note = f"{amount(self.cost, self.unit)} of {amount(self.limit, self.unit)}"
        if widened:
            note += f", groups widened: {len(widened)}"
        unused = 1 - self.cost / self.limit
        return {"plan": self.chosen.text, "widened": widened, "unused_budget": unused, "note": note}


def num_undecided(differences: Sequence[Difference]) -> int:
    """Return the number of candidates whose interval includes 0."""
    return sum(not each.is_sure for each in differences)


def certainty(differences: Sequence[Difference] | None) -> str:
    """Return one phrase on the compared candidates; empty if none was compared."""
    if not differences:
        return ""
    return (
        f"{num_undecided(differences)} of the {len(differences)} next best cannot be distinguished from the chosen "
        "one on these images"
    )


def best_plan(
    candidates: Candidates,
    proxy: Proxy,
    options: SearchOptions,
    *,
    storage: Path | str | None,
    seed: int = 0,
    name: str = "search",
    progress: Report | None = None,
    check_stop: CheckStop = never,
) -> Choice:
    """Find the best plan of a supernet within a budget; the plan of a method that measures none is taken unseen.

    Args:
        candidates: Candidate networks of the supernet.
        proxy: Metric that ranks them.
        options: Search method and its parameters.
        storage: Journal or URL of a database, from which the same call resumes; None keeps nothing.
        seed: Seed of the search.
        name: Name of the search in the storage.
        progress: Called with all finished candidates and the largest number of candidates.
        check_stop: Called before each candidate; raises if the user asked to stop.

    Raises:
        BudgetError: No plan meets the budget, or no candidate has a finite metric.
        ConfigError: The storage holds another search, or cannot be opened.
        TrainingError: The database was lost.
    """
    result = evaluated(
        candidates, proxy, options, storage=storage, seed=seed, name=name, progress=progress, check_stop=check_stop
    )
    chosen = result.best if options.measures else result.candidates[0]
    if chosen is None:
        raise BudgetError(
            f"search: no candidate has a finite {proxy.name}; train the supernet longer, or check the metric"
        )
    near = None
    if options.measures:
        compared = _next_best(result, NUM_COMPARED)
        near = differences(chosen, compared, lambda each: proxy.per_image(candidates.network(each.plan)))
    plan, limit = candidates.filled(chosen.plan), candidates.limit
    cost = candidates.cost(plan)
    return Choice(chosen, plan, cost, limit.limit, limit.unit, result, None if near is None else tuple(near))


def evaluated(
    candidates: Candidates,
    proxy: Proxy,
    options: SearchOptions,
    *,
    storage: Path | str | None,
    seed: int,
    name: str,
    progress: Report | None,
    check_stop: CheckStop,
) -> SearchResult:
    """Return all candidates of a search; those of a method that measures none have no metric. See `best_plan`."""

    def evaluate(plan: ChannelPlan) -> Mapping[str, float]:
        if not options.measures:
            return {proxy.name: math.nan}
        check_stop()
        return proxy.of(candidates.network(plan))

    return run_search(
        candidates.space,
        candidates.cost,
        candidates.limit.limit,
        evaluate,
        Objective(metric=proxy.name, direction="minimize" if proxy.better == "lower" else "maximize"),
        options,
        storage=storage,
        seed=seed,
        name=name,
        unit=candidates.limit.unit,
        spent=candidates.watch.take,
        progress=progress,
    )


def _next_best(result: SearchResult, count: int) -> list[Candidate]:
    """Return the best candidates other than the chosen one, at most this many."""
    scored = sorted((result.objective.score(each.metrics), each.index, each) for each in result.candidates)
    finite = [each for score, _, each in scored if math.isfinite(score) and each is not result.best]
    return finite[:count]


def differences(
    chosen: Candidate, others: Sequence[Candidate], per_image: Callable[[Candidate], Tensor | None]
) -> list[Difference] | None:
    """Return the paired differences from the chosen candidate.

    Args:
        chosen: The chosen candidate.
        others: The candidates to compare with it.
        per_image: The metric of each image, of shape ``(images,)``; None for a metric of whole sets of images.

    Returns:
        The differences in the order of the others; None for a metric of sets, or of fewer than two images.
    """
    reference = per_image(chosen)
    if reference is None or len(reference) < 2:
        return None
    found = []
    for other in others:
        values = per_image(other)
        assert values is not None  # as for the chosen one
        difference = values - reference
        interval = bootstrap_interval(difference.unsqueeze(1), lambda sums: sums[:, 0] / len(reference))
        assert interval is not None
        found.append(Difference(other.text, float(difference.mean()), *interval))
    return found
