"""Searching a supernet for its best network within the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field

from gancompress.channels import ChannelGraph, ChannelPlan, materialise
from gancompress.cost import amount
from gancompress.errors import BudgetError, ConfigError, NotFiniteError
from gancompress.latency import variants_of_space
from gancompress.metrics import find_metric
from gancompress.models.generator import Generator
from gancompress.report import Candidate as ReportedCandidate
from gancompress.search import Candidate, Objective, SearchOptions, SearchResult, search
from gancompress.steps.costs import cost_of_plans, measured_latency
from gancompress.steps.evaluation import Evaluation
from gancompress.steps.prune import cut
from gancompress.steps.recalibration import NUM_BATCHES, Calibration, recalibrate
from gancompress.steps.spaces import SpaceOptions
from gancompress.steps.step import Budget, Context, Step, Work
from gancompress.steps.stopwatch import Stopwatch, shares


class Search(Step):
    """Find the best plan within the budget, judged on the ``search`` split, and cut the network to it.

    Attributes:
        metric: What candidates are judged by.
        against: What it compares a candidate's images with.
        space: The plans to choose from; those that the supernet was trained on.
        options: How plans are proposed.
        max_images: Images of the split that every candidate makes; all where left out.
        calibration_batches: Batches over which running statistics are averaged before a candidate is judged.
    """

    kind = "search"
    measures = True
    takes_latency = True

    metric: str = "psnr"
    against: Literal["real", "teacher"] = "real"
    space: SpaceOptions = SpaceOptions()
    options: SearchOptions = SearchOptions()
    max_images: Annotated[int | None, Field(ge=1)] = None
    calibration_batches: Annotated[int, Field(ge=1)] = NUM_BATCHES

    @property
    def uses_budget(self) -> bool:
        """Always, where there is one."""
        return True

    def run(self, work: Work, context: Context) -> Work:
        """Search; the work's generator becomes the best network, with the supernet's weights.

        Of a random plan at the budget nothing is measured: it is taken as it is drawn.

        Raises:
            ConfigError: The job has no budget.
            BudgetError: No plan of the space meets the budget.
        """
        if context.budget is None:
            raise ConfigError("search: got no budget, expected one; add budget to the recipe")
        graph = context.graph(work.generator, multiple=1, minimum=1)
        watch = Stopwatch(context.accelerator.device)
        calibration = Calibration(context, self.calibration_batches)
        space = self.space.of(work.generator, graph)
        cost = cost_of_plans(context.budget, work.generator, graph, context, lambda: variants_of_space(space))

        def timed_cost(plan: ChannelPlan) -> float:
            with watch.part("cost"):
                return cost(plan)

        judged = self.options.method != "random_at_budget"
        better = find_metric(self.metric, context.metrics.specs())[0].better
        result = search(
            space,
            timed_cost,
            context.budget.limit,
            self._evaluate(work, graph, context, calibration, watch) if judged else lambda _: {self.metric: math.nan},
            Objective(metric=self.metric, direction="minimize" if better == "lower" else "maximize"),
            self.options,
            storage=context.directory / "search.journal",
            seed=context.seed,
            unit=context.budget.unit,
            spent=watch.take,
            progress=lambda found, total: self._tell(context, found, total),
        )
        chosen = result.best if judged else result.candidates[0]
        if chosen is None:
            raise BudgetError(f"search: no candidate has a finite {self.metric}; train the supernet longer")
        facts = _facts(result, chosen, better, context.budget.unit) if judged else _unjudged(chosen, context.budget)
        best = _cut(work, graph, chosen.plan, calibration)
        real = measured_latency(context.budget, best, chosen.cost, context)
        notes = "; ".join(found["note"] for found in (facts, real) if found)
        return Work(work.teacher, best, work.discriminator, {**facts, **real, "note": notes}, uncut=work.generator)

    def _tell(self, context: Context, found: SearchResult, total: int) -> None:
        if context.accelerator.is_main_process:
            best = {} if found.best is None else {self.metric: found.best.metrics[self.metric]}
            context.log.searched(len(found.candidates), total, best)

    def _evaluate(
        self, work: Work, graph: ChannelGraph, context: Context, calibration: Calibration, watch: Stopwatch
    ) -> Callable[[ChannelPlan], Mapping[str, float]]:
        """What measures a candidate."""
        module = work.generator.build().to(context.accelerator.device)
        options = context.metrics.model_copy(update={"max_images": self.max_images})
        teacher = work.teacher.build() if self.against == "teacher" else None
        evaluation = Evaluation(options, (self.metric,), context, "search", teacher, watch)

        def evaluate(plan: ChannelPlan) -> Mapping[str, float]:
            if context.stop():
                context.interrupt()
            with watch.part("materialise"):
                network = materialise(module, graph, plan)
            with watch.part("recalibration"):
                recalibrate(network, calibration)
            try:
                return {result.name: result.value for result in evaluation.of(network)}
            except NotFiniteError:
                return {self.metric: math.nan}  # not bred from, and not the end of the others

        return evaluate


def _cut(work: Work, graph: ChannelGraph, plan: ChannelPlan, calibration: Calibration) -> Generator:
    narrow = cut(work.generator, graph, plan)
    network = narrow.build()
    recalibrate(network, calibration)
    return Generator.from_module(network, narrow.family, narrow.config, narrow.resized)


def _facts(result: SearchResult, chosen: Candidate, better: str, unit: str) -> dict[str, Any]:
    """What a report shows of a search, and how long its candidates took."""
    metric = result.objective.metric
    candidates = [
        asdict(ReportedCandidate(c.text, c.cost, c.metrics[metric], chosen=c is chosen)) for c in result.candidates
    ]
    found = {"metric": metric, "better": better, "cost_name": unit, "candidates": candidates, "budget": result.budget}
    seconds = [candidate.seconds for candidate in result.candidates]
    note = f"{len(candidates)} candidates, {shares(seconds)}"
    return {"search": found, "plan": chosen.text, "candidate_seconds": seconds, "note": note}


def _unjudged(chosen: Candidate, budget: Budget) -> dict[str, Any]:
    """What a report shows of a plan that was drawn, not searched for."""
    note = f"a random plan, not judged: {amount(chosen.cost, budget.unit)} of {amount(budget.limit, budget.unit)}"
    return {"plan": chosen.text, "note": note}
