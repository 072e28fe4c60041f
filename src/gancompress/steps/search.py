"""Searching a supernet for its best network within the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field

from gancompress.channels import ChannelGraph, ChannelPlan, materialise
from gancompress.errors import BudgetError, ConfigError
from gancompress.metrics import find_metric
from gancompress.report import Candidate as ReportedCandidate
from gancompress.search import Objective, SearchOptions, SearchResult, search
from gancompress.steps.evaluation import Evaluation
from gancompress.steps.prune import cut
from gancompress.steps.recalibration import recalibrate
from gancompress.steps.spaces import SpaceOptions
from gancompress.steps.step import Context, Step, Work


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

    metric: str = "psnr"
    against: Literal["real", "teacher"] = "real"
    space: SpaceOptions = SpaceOptions()
    options: SearchOptions = SearchOptions()
    max_images: Annotated[int | None, Field(ge=1)] = None
    calibration_batches: Annotated[int, Field(ge=1)] = 32

    def run(self, work: Work, context: Context) -> Work:
        """Search; the work's generator becomes the best network, with the supernet's weights.

        Raises:
            ConfigError: The job has no budget.
            BudgetError: No plan of the space meets the budget.
        """
        if context.budget is None:
            raise ConfigError("search: got no budget, expected one; add budget to the recipe")
        module = work.generator.build()
        graph = context.graph(work.generator, multiple=1, minimum=1)
        space = self.space.of(work.generator, graph)
        options = context.metrics.model_copy(update={"max_images": self.max_images})
        teacher = work.teacher.build() if self.against == "teacher" else None
        evaluation = Evaluation(options, (self.metric,), context, "search", teacher)

        def evaluate(plan: ChannelPlan) -> Mapping[str, float]:
            if context.stop():
                context.interrupt()
            network = materialise(module, graph, plan)
            recalibrate(network, (batch["input"] for batch in self._calibration(context)))
            return {result.name: result.value for result in evaluation.of(network)}

        better = find_metric(self.metric, options.specs())[0].better
        objective = Objective(metric=self.metric, direction="minimize" if better == "lower" else "maximize")
        result = search(
            space,
            context.budget.cost(graph),
            context.budget.limit,
            evaluate,
            objective,
            self.options,
            storage=context.directory / "search.journal",
            seed=context.seed,
            unit=context.budget.unit,
        )
        best = result.best
        if best is None:
            raise BudgetError(f"search: no candidate has a finite {self.metric}; train the supernet longer")
        facts = {"search": _facts(result, better, context.budget.unit), "plan": best.text}
        return Work(work.teacher, self._cut(work, graph, best.plan, context), work.discriminator, facts)

    def _calibration(self, context: Context) -> Any:
        size = context.metrics.batch_size
        return context.images("train", size, self.calibration_batches * size)

    def _cut(self, work: Work, graph: ChannelGraph, plan: ChannelPlan, context: Context) -> Any:
        narrow = cut(work.generator, graph, plan)
        network = narrow.build()
        recalibrate(network, (batch["input"] for batch in self._calibration(context)))
        return type(narrow).from_module(network, narrow.family, narrow.config, narrow.resized)


def _facts(result: SearchResult, better: str, unit: str) -> dict[str, Any]:
    """What a report shows of a search."""
    metric, best = result.objective.metric, result.best
    candidates = [
        asdict(ReportedCandidate(c.text, c.cost, c.metrics[metric], chosen=c is best)) for c in result.candidates
    ]
    return {"metric": metric, "better": better, "cost_name": unit, "candidates": candidates, "budget": result.budget}
