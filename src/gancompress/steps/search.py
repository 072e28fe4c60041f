"""Search of a supernet for its best network within the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gancompress.architecture_search import Candidate, Objective, SearchOptions, SearchResult, plans_at_budget, search
from gancompress.channels import ChannelPlan
from gancompress.cost import amount
from gancompress.errors import BudgetError, ConfigError
from gancompress.evaluation import Metric, PairMetric, SetMetric, find_metric
from gancompress.methods.budget import CostLimit
from gancompress.report import Candidate as ReportedCandidate
from gancompress.steps.candidates import CandidateNetworks, Proxy
from gancompress.steps.costs import measured_latency
from gancompress.steps.proxy_noise import NUM_COMPARED, Difference, differences
from gancompress.steps.recalibration import NUM_BATCHES
from gancompress.steps.spaces import SpaceOptions
from gancompress.steps.step import Context, Step, Work, register_step
from gancompress.steps.stopwatch import shares
from gancompress.steps.verification import VerifyOptions, agreement, fine_tuned


@register_step
class Search(Step):
    """Step that finds the best plan within the budget by a proxy on the ``search`` split, and cuts the network to it.

    The proxy is the quality of a plan with the supernet's weights. The rest of the budget widens single channel groups,
    those that keep the smallest fraction first.

    Attributes:
        metric: Proxy metric.
        against: References of the metric: the teacher's images by default, real ones for metrics that cannot compare
            with a teacher.
        space: The plans to choose from, those that the supernet was trained on.
        options: Method of the search and its numbers.
        max_images: Images of the split that every candidate generates, the same for all; the whole split by default.
        calibration_batches: Batches over which running statistics are averaged before a candidate is evaluated.
        verify: Random plans to fine-tune, to measure the rank correlation of the proxy; none by default.
    """

    kind = "search"
    measures = True
    takes_latency = True

    metric: str = "psnr"
    against: Literal["real", "teacher"] | None = None
    space: SpaceOptions = SpaceOptions()
    options: SearchOptions = SearchOptions()
    max_images: Annotated[int | None, Field(ge=1)] = None
    calibration_batches: Annotated[int, Field(ge=1)] = NUM_BATCHES
    verify: VerifyOptions | None = None

    @model_validator(mode="after")
    def _has_a_proxy(self) -> Self:
        if self.verify is not None and not self._measures_plans:
            raise ValueError(
                "verify: got options.method random_at_budget, which measures no plan, expected another one; leave "
                "verify out"
            )
        return self

    @property
    def uses_budget(self) -> bool:
        """True; the budget is required."""
        return True

    def compares_with(self, metric: Metric) -> Literal["real", "teacher"]:
        """Return the references of a metric that `find_metric` returned: real images or the teacher's."""
        return self.against or ("teacher" if isinstance(metric, PairMetric | SetMetric) else "real")

    def run(self, work: Work, context: Context) -> Work:
        """Search the space; the work's generator becomes the best network, with the supernet's weights.

        A random plan at the budget is taken without evaluation.

        Raises:
            ConfigError: The job has no budget.
            BudgetError: No plan of the space meets the budget, or too few for ``verify``.
        """
        if context.budget is None:
            raise ConfigError("search: got no budget, expected one; add budget to the recipe")
        networks = CandidateNetworks(work, self.space, context.budget, self.calibration_batches, context)
        facts: dict[str, Any]
        if self._measures_plans:
            chosen, facts = self._best(networks, context)
        else:
            (chosen,) = self._searched(networks, lambda _: {self.metric: math.nan}, context).candidates
            facts = {"note": "a random plan, not measured"}
        verified = self._verified(self.verify, networks, work, context) if self.verify else {}
        plan = networks.filled(chosen.plan)
        cost, best = networks.cost(plan), networks.cut(plan)
        spent = _spent(chosen, plan, cost, context.budget)
        parts = [facts, verified, spent, measured_latency(context.budget, best, cost, context)]
        joined = {name: value for part in parts for name, value in part.items()}
        joined["note"] = "; ".join(part["note"] for part in parts if part)
        if "search" in facts:
            joined["search"] = {**facts["search"], "final_cost": cost, "agreement": verified.get("agreement")}
        return Work(work.teacher, best, work.discriminator, joined, uncut=work.generator)

    @property
    def _measures_plans(self) -> bool:
        return self.options.method != "random_at_budget"

    def _searched(
        self, networks: CandidateNetworks, evaluate: Callable[[ChannelPlan], Mapping[str, float]], context: Context
    ) -> SearchResult:
        better = self._better(context)
        return search(
            networks.space,
            networks.cost,
            networks.budget.limit,
            evaluate,
            Objective(metric=self.metric, direction="minimize" if better == "lower" else "maximize"),
            self.options,
            storage=context.directory / "search.journal",
            seed=context.seed,
            unit=networks.budget.unit,
            spent=networks.watch.take,
            progress=lambda found, total: self._tell(context, found, total),
        )

    def _best(self, networks: CandidateNetworks, context: Context) -> tuple[Candidate, dict[str, Any]]:
        """Return the best candidate, and facts about all candidates for the record."""
        proxy = self._proxy(networks, context)

        def evaluate(plan: ChannelPlan) -> Mapping[str, float]:
            if context.stop():
                context.interrupt()
            return proxy.of(networks.network(plan))

        result = self._searched(networks, evaluate, context)
        if result.best is None:
            raise BudgetError(f"search: no candidate has a finite {self.metric}; train the supernet longer")
        near = differences(
            result.best,
            _next_best(result, NUM_COMPARED),
            lambda candidate: proxy.per_image(networks.network(candidate.plan)),
        )
        return result.best, _facts(result, self._better(context), networks.budget.unit, near)

    def _verified(
        self, options: VerifyOptions, networks: CandidateNetworks, work: Work, context: Context
    ) -> dict[str, Any]:
        tolerance = self.options.budget_tolerance
        values = plans_at_budget(
            networks.space,
            networks.cost,
            networks.budget.limit,
            options.num_plans,
            tolerance=tolerance,
            seed=context.seed,
            unit=networks.budget.unit,
        )
        plans = {networks.space.text(each): networks.space.plan(each) for each in values}
        proxy = self._proxy(networks, context)
        verified = fine_tuned(plans, networks.cost, networks.cut, proxy.of, options, work, context)
        found = agreement(verified, self.metric, self.metric)
        note = f"{self.metric} before and after fine-tuning {len(plans)} plans: {found}"
        return {"agreement": asdict(found), "verified": [asdict(each) for each in verified], "note": note}

    def _proxy(self, networks: CandidateNetworks, context: Context) -> Proxy:
        metric, _ = find_metric(self.metric, context.metrics.specs())
        return networks.proxy(self.metric, self.compares_with(metric), self.max_images)

    def _better(self, context: Context) -> Literal["lower", "higher"]:
        return find_metric(self.metric, context.metrics.specs())[0].better

    def _tell(self, context: Context, found: SearchResult, total: int) -> None:
        if context.accelerator.is_main_process:
            best = {} if found.best is None else {self.metric: found.best.metrics[self.metric]}
            context.log.searched(len(found.candidates), total, best)


def _next_best(result: SearchResult, count: int) -> list[Candidate]:
    """Return the best candidates other than the chosen one, at most this many."""
    scored = sorted((result.objective.score(each.metrics), each.index, each) for each in result.candidates)
    finite = [each for score, _, each in scored if math.isfinite(score) and each is not result.best]
    return finite[:count]


def _facts(
    result: SearchResult, better: Literal["lower", "higher"], unit: str, near: Sequence[Difference] | None
) -> dict[str, Any]:
    """Return the facts of a report: the candidates, the certainty of the choice, and their times."""
    metric = result.objective.metric
    candidates = [
        asdict(ReportedCandidate(each.text, each.cost, each.metrics[metric], chosen=each is result.best))
        for each in result.candidates
    ]
    seconds = [candidate.seconds for candidate in result.candidates]
    facts = {"metric": metric, "better": better, "cost_name": unit, "candidates": candidates, "budget": result.budget}
    note = f"{len(candidates)} candidates, {shares(seconds)}"
    if near:
        num_undecided = sum(not each.is_sure for each in near)
        facts |= {"num_compared": len(near), "num_undecided": num_undecided}
        note += f"; {num_undecided} of the {len(near)} next best cannot be told from the chosen one on these images"
    return {
        "search": facts,
        "candidate_seconds": seconds,
        "differences": [asdict(each) for each in near or ()],
        "note": note,
    }


def _spent(chosen: Candidate, plan: ChannelPlan, cost: float, budget: CostLimit) -> dict[str, Any]:
    """Return facts on the budget that the network spends, and on the groups widened for it."""
    wider = {
        group: [chosen.plan.widths[group], width]
        for group, width in plan.widths.items()
        if width != chosen.plan.widths[group]
    }
    note = f"{amount(cost, budget.unit)} of {amount(budget.limit, budget.unit)}"
    if wider:
        note += f", groups widened: {len(wider)}"
    return {"plan": chosen.text, "widened": wider, "unused_budget": 1 - cost / budget.limit, "note": note}
