"""Options of the steps that narrow every channel group by the same factor."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.cost import widest_plan
from gancompress.deploy.latency import variants_of_graph
from gancompress.jobs.steps.costs import cost_of_plans, latency_facts
from gancompress.jobs.steps.step import Step, StepRun
from gancompress.methods.budget import CostLimit
from gancompress.networks.generator import Generator
from gancompress.options import as_tuple
from gancompress.tasks.inputs import Inputs

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
        left_out: Names of residual blocks to leave out; ``*`` stands for any text.
    """

    takes_latency = True

    keep: Fraction | None = None
    widths: Annotated[str | dict[str, int] | None, BeforeValidator(_as_text)] = None
    multiple: Annotated[int, Field(ge=1)] = 8
    left_out: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()

    @property
    def uses_budget(self) -> bool:
        """True if the budget decides the widths, which it does unless ``keep`` or ``widths`` is given."""
        return self.keep is None and self.widths is None

    @property
    def needs_budget(self) -> bool:
        """True if the budget decides the widths."""
        return self.uses_budget

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.keep is not None and self.widths is not None:
            raise ValueError("got keep and widths, expected one of them")
        return self

    def plan(
        self,
        wide: Generator,
        inputs: Inputs,
        run: StepRun,
        budget: CostLimit | None,
    ) -> tuple[ChannelGraph, ChannelPlan]:
        """Return the graph of a generator and its narrow plan.

        Args:
            wide: The generator.
            inputs: Images of the data, for the task.
            run: Run of the step.
            budget: Budget of the job.

        Raises:
            PlanError: The widths do not fit the network, or leave a group without channels.
            BudgetError: The narrowest plan costs more than the budget.
        """
        graph = self.graph(wide, inputs)
        left_out = self.blocks(wide, graph, inputs, run)
        if self.widths is not None:
            return graph, graph.plan(_by_group(self.widths, wide), left_out)
        if self.keep is not None:
            return graph, graph.uniform_plan(self.keep).leaving_out(left_out)
        assert budget is not None  # the job sees to it
        cost = self._cost(budget, wide, graph, inputs, run)
        return graph, self.widest(wide, graph, cost, budget, left_out, inputs, run)

    def graph(self, wide: Generator, inputs: Inputs) -> ChannelGraph:
        """Return the graph of a generator with the legal widths of this step."""
        multiple = 1 if self.widths is not None else self.multiple
        return inputs.graph(wide, multiple=multiple, minimum=multiple)

    def blocks(self, wide: Generator, graph: ChannelGraph, inputs: Inputs, run: StepRun) -> tuple[str, ...]:
        """Return the blocks to leave out. Raises PlanError if a name fits none."""
        return graph.matching_blocks(self.left_out)

    def widest(
        self,
        wide: Generator,
        graph: ChannelGraph,
        cost: Callable[[ChannelPlan], float],
        budget: CostLimit,
        left_out: tuple[str, ...],
        inputs: Inputs,
        run: StepRun,
    ) -> ChannelPlan:
        """Return the widest plan within a budget without some blocks. Raises BudgetError if there is none."""
        return widest_plan(graph, cost, budget.limit, budget.unit, left_out)

    def latency(
        self,
        wide: Generator,
        graph: ChannelGraph,
        plan: ChannelPlan,
        narrow: Generator,
        inputs: Inputs,
        run: StepRun,
        budget: CostLimit | None,
    ) -> dict[str, Any]:
        """Return the measured latency of the narrow network as facts if a latency budget set its widths, else empty."""
        if not self.uses_budget or budget is None or budget.target is None:
            return {}
        predicted = self._cost(budget, wide, graph, inputs, run)(plan)
        return latency_facts(budget, narrow, predicted, inputs, run)

    def _cost(
        self,
        budget: CostLimit,
        wide: Generator,
        graph: ChannelGraph,
        inputs: Inputs,
        run: StepRun,
    ) -> Callable[[ChannelPlan], float]:
        return cost_of_plans(budget, wide, graph, inputs, run, lambda: variants_of_graph(graph))


def _by_group(widths: str | Mapping[str, int], generator: Generator) -> Mapping[str, int]:
    """Return the width of every group. Raises PlanError if the family has no such notation."""
    if not isinstance(widths, str):
        return widths
    return generator.architecture.widths_from_string(widths)
