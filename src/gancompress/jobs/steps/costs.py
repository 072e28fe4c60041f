"""Cost of plans in the unit of the job's budget, for a step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.deploy.latency import Variants
from gancompress.jobs.steps.step import StepRun
from gancompress.methods import costs
from gancompress.methods.budget import CostLimit
from gancompress.networks.generator import Generator
from gancompress.networks.given import one_tensor
from gancompress.tasks.inputs import Inputs


def cost_of_plans(
    budget: CostLimit,
    wide: Generator,
    graph: ChannelGraph,
    inputs: Inputs,
    run: StepRun,
    variants: Callable[[], Variants],
) -> Callable[[ChannelPlan], float]:
    """Return the cost function of plans; a step's directory keeps its measurements. See `costs.cost_of_plans`."""
    table, stop = run.directory / costs.TABLE_FILE, partial(check_stop, run)
    given = budget, wide, graph, partial(_image, inputs), variants
    return costs.cost_of_plans(*given, table=table, say=run.log.said, check_stop=stop)


def latency_facts(
    budget: CostLimit | None, network: Generator, predicted: float, inputs: Inputs, run: StepRun
) -> dict[str, Any]:
    """Return the measured latency of a network as facts; empty unless the budget is a latency."""
    stop = partial(check_stop, run)
    return costs.latency_facts(
        budget, costs.measured_latency(budget, network, partial(_image, inputs), predicted, stop)
    )


def _image(inputs: Inputs) -> Tensor:
    return one_tensor(inputs.example(), "budget: latency_ms")


def check_stop(run: StepRun) -> None:
    """Raise Interrupted if the user asked to stop."""
    if run.stop():
        run.interrupt()
