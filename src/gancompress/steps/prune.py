"""Pruning: keep the most important channels of every group, at the widths of a plan."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from gancompress.channels import ChannelGraph, ChannelPlan, reorder
from gancompress.cost import widest_plan
from gancompress.deploy.latency import variants_of_graph
from gancompress.errors import ConfigError
from gancompress.importance import AnyScore, Probe, Score, by_importance, find_score
from gancompress.methods.budget import CostLimit
from gancompress.networks.cut import cut, tied
from gancompress.networks.generator import Generator
from gancompress.quantization import FLOAT, QuantizationOptions
from gancompress.steps.costs import cost_of_plans, measured_latency
from gancompress.steps.recalibration import recalibrated
from gancompress.steps.refit import RefitOptions
from gancompress.steps.step import Context, Step, Work, register_step

Fraction = Annotated[float, Field(gt=0, le=1)]
"""Fraction of every group's channels."""


def _as_text(widths: Any) -> Any:
    if isinstance(widths, int):
        raise ValueError("got one number, expected quotes around it: YAML reads 8_8_4 as 884")
    return widths


class Narrowing(Step, ABC):
    """Base class of the steps that narrow every channel group by the same factor.

    Attributes:
        keep: Fraction of every group's channels that is kept; follows from the budget by default.
        widths: Widths of all groups instead: in the papers' notation (``154_154_...``), or by group name.
        multiple: Widths are multiples of this, or full; given ``widths`` are not rounded.
    """

    takes_latency = True

    keep: Fraction | None = None
    widths: Annotated[str | dict[str, int] | None, BeforeValidator(_as_text)] = None
    multiple: Annotated[int, Field(ge=1)] = 8

    @property
    def uses_budget(self) -> bool:
        """True if the budget decides the widths, which it does unless ``keep`` or ``widths`` is given."""
        return self.keep is None and self.widths is None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.keep is not None and self.widths is not None:
            raise ValueError("got keep beside widths, expected one of them, to say how narrow it becomes")
        return self

    def plan(
        self, wide: Generator, context: Context, quantization: QuantizationOptions = FLOAT
    ) -> tuple[ChannelGraph, ChannelPlan]:
        """Return the graph of a generator and its narrow plan.

        Args:
            wide: The generator.
            context: Context of the step.
            quantization: Quantization of its weights, for a budget in bytes.

        Raises:
            ConfigError: There is neither ``keep`` nor a budget.
            PlanError: The widths do not fit the network, or leave a group without channels.
            BudgetError: The narrowest plan costs more than the budget.
        """
        if self.widths is not None:
            graph = context.graph(wide, multiple=1, minimum=1)
            return graph, graph.plan(_by_group(self.widths, wide))
        graph = context.graph(wide, multiple=self.multiple, minimum=self.multiple)
        if self.keep is not None:
            return graph, graph.uniform_plan(self.keep)
        budget = context.budget
        if budget is None:
            raise ConfigError(f"{self.kind}: got neither keep nor a budget, expected one, to say how narrow it becomes")
        cost = self._cost(budget, wide, graph, context, quantization)
        return graph, widest_plan(graph, cost, budget.limit, budget.unit)

    def latency(
        self, wide: Generator, graph: ChannelGraph, plan: ChannelPlan, narrow: Generator, context: Context
    ) -> dict[str, Any]:
        """Return the measured latency of the narrow network as facts if a latency budget set its widths, else empty."""
        budget = context.budget
        if not self.uses_budget or budget is None or budget.target is None:
            return {}
        return measured_latency(budget, narrow, self._cost(budget, wide, graph, context)(plan), context)

    def _cost(
        self,
        budget: CostLimit,
        wide: Generator,
        graph: ChannelGraph,
        context: Context,
        quantization: QuantizationOptions = FLOAT,
    ) -> Callable[[ChannelPlan], float]:
        return cost_of_plans(budget, wide, graph, context, lambda: variants_of_graph(graph), quantization)


@register_step
class Prune(Narrowing):
    """Step that removes the least important channels of every group without training, a baseline for other steps.

    Attributes:
        score: Importance score of channels.
        refit: If given, the remaining layers are refitted by least squares.
    """

    kind = "prune"

    score: AnyScore = "l1_incoming"
    refit: RefitOptions | None = None

    def run(self, work: Work, context: Context) -> Work:
        """Prune the work's generator."""
        graph, plan = self.plan(work.generator, context)
        wide = sorted_by(self.score, work.generator, context)
        narrow = cut(wide, graph, plan)
        facts = self.latency(work.generator, graph, plan, narrow, context)
        if self.refit is not None:
            narrow, fitted = self.refit.refit(narrow, wide, graph, plan, context)
            notes = [each["note"] for each in (facts, fitted) if "note" in each]
            facts = {**facts, **fitted, "note": "; ".join(notes)}
        return recalibrated(replace(work, generator=narrow, facts=facts, uncut=wide), context)


def prune(generator: Generator, graph: ChannelGraph, plan: ChannelPlan, score: Score) -> Generator:
    """Keep the most important channels of every group.

    Args:
        generator: The generator at full width.
        graph: The channel graph of the network it builds.
        plan: Number of kept channels of each group.
        score: Importance score of channels.

    Returns:
        A generator of the same family, with the plan's widths in its config.

    Raises:
        PlanError: The plan does not fit the graph.
        ConfigError: The score does not apply to some group.
    """
    return cut(sort(generator, graph, score), graph, plan)


def sort(generator: Generator, graph: ChannelGraph, score: Score) -> Generator:
    """Return the same function with the most important channels of every group first.

    Raises:
        ConfigError: The score does not apply to some group.
    """
    state = reorder(generator.state, graph, by_importance(score(generator.state, graph)))
    return generator.with_state(tied(state, graph))


def sorted_by(score: AnyScore, generator: Generator, context: Context) -> Generator:
    """Sort by a score of a recipe; scores that run the generator use the training data of the job.

    Raises:
        GanCompressError: The score does not apply to the generator, or to the data.
    """
    graph = context.graph(generator)

    def inputs(num_images: int, batch_size: int) -> Iterable[Mapping[str, Any]]:
        for batch in context.images("train", batch_size, num_images):
            yield {**batch, "input": context.task.encode(batch["input"]), "name": context.task.names(batch)}

    network = generator.build().to(context.accelerator.device)
    return sort(generator, graph, find_score(score, Probe(network, inputs, context.seed)))


def _by_group(widths: str | Mapping[str, int], generator: Generator) -> Mapping[str, int]:
    """Return the width of every group. Raises PlanError if the family has no such notation."""
    if not isinstance(widths, str):
        return widths
    return generator.architecture.widths_from_string(widths)
