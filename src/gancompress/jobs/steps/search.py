"""Search of a supernet for its best network within the budget."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from gancompress.architecture_search import SearchOptions, SearchResult
from gancompress.channels import ChannelPlan
from gancompress.errors import ConfigError
from gancompress.evaluation import Metric, PairMetric, SetMetric, find_metric
from gancompress.jobs.steps.candidates import SplitProxy, candidates_of
from gancompress.jobs.steps.costs import check_stop, latency_facts
from gancompress.jobs.steps.distill import Finetune
from gancompress.jobs.steps.facts import joined
from gancompress.jobs.steps.recalibration import NUM_BATCHES
from gancompress.jobs.steps.spaces import SpaceOptions
from gancompress.jobs.steps.step import Goal, Step, StepRun, Work, register_step
from gancompress.methods.best_plan import STORAGE_FILE, best_plan
from gancompress.methods.candidates import Candidates, Proxy
from gancompress.methods.verify import MIN_PLANS, FineTune, Verification, verified
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.objectives.distillation import DistillationOptions
from gancompress.options import Options
from gancompress.tasks.inputs import Inputs
from gancompress.training import TrainingOptions


class VerifyOptions(Options):
    """Random plans at the budget that are fine-tuned separately, to check the ranking of the search.

    Attributes:
        num_plans: Number of plans; the interval of a rank correlation over 12 plans is about 0.5 wide at best.
        distillation: Weights of the terms of fine-tuning; those of the ``finetune`` step make the check fair.
        training: Options of the fine-tuning of each plan.
    """

    num_plans: Annotated[int, Field(ge=MIN_PLANS)] = 12
    distillation: DistillationOptions = DistillationOptions()
    training: TrainingOptions = TrainingOptions()


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
        if self.verify is not None and self.options.method == "random_at_budget":
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

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Search the space; the work's generator becomes the best network, with the supernet's weights.

        A random plan at the budget is taken without evaluation.

        Raises:
            ConfigError: The job has no budget.
            BudgetError: No plan of the space meets the budget, or too few for ``verify``.
        """
        if goal.budget is None:
            raise ConfigError("search: got no budget, expected one; add budget to the recipe")
        candidates = candidates_of(work, self.space, self.calibration_batches, inputs, run, goal)
        against = self.compares_with(find_metric(self.metric, goal.metrics.specs())[0])
        proxy = SplitProxy(work, self.metric, against, self.max_images, inputs, run, goal.metrics, candidates.watch)
        choice = best_plan(
            candidates,
            proxy,
            self.options,
            storage=run.directory / STORAGE_FILE,
            seed=run.seed,
            progress=partial(_report, run),
            check_stop=partial(check_stop, run),
        )
        checked = None
        if self.verify is not None:
            tune = finetuning(self.verify, candidates, work, inputs, run, goal)
            checked = self._verified(self.verify, candidates, proxy, tune, run)
        best = generator_at(choice.plan, candidates.network(choice.plan), candidates, work)
        facts = joined(
            choice.search_facts(checked and checked.agreement),
            checked.facts() if checked else {},
            choice.budget_facts(),
            latency_facts(goal.budget, best, choice.cost, inputs, run),
        )
        return Work(work.teacher, best, work.discriminator, facts, uncut=work.generator)

    def _verified(
        self, options: VerifyOptions, candidates: Candidates, proxy: Proxy, tune: FineTune, run: StepRun
    ) -> Verification:
        return verified(
            candidates,
            self.metric,
            proxy.of,
            tune,
            options.num_plans,
            self.options.budget_tolerance,
            run.directory / "verify",
            seed=run.seed,
            say=run.log.said,
        )


def finetuning(
    options: VerifyOptions, candidates: Candidates, work: Work, inputs: Inputs, run: StepRun, goal: Goal
) -> FineTune:
    """Return a function that fine-tunes the network of a plan like the step ``finetune``, in a separate directory."""
    step = Finetune(distillation=options.distillation, training=options.training)

    def tuned(plan: ChannelPlan, network: nn.Module, directory: Path) -> nn.Module:
        narrow = replace(work, generator=generator_at(plan, network, candidates, work))
        return step.run(narrow, inputs, replace(run, directory=directory), goal).build()

    return tuned


def generator_at(plan: ChannelPlan, network: nn.Module, candidates: Candidates, work: Work) -> Generator:
    """Return the work's generator at a plan, with the weights and statistics of a network."""
    return cut(work.generator, candidates.graph, plan).with_weights_of(network.cpu())


def _report(run: StepRun, found: SearchResult, total: int) -> None:
    if run.is_main:
        metric = found.objective.metric
        best = {} if found.best is None else {metric: found.best.metrics[metric]}
        run.log.searched(len(found.candidates), total, best)
