"""Cost of plans in the unit of the job's budget, including latency."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.deploy.latency import Variants, learn_latency, measure_network
from gancompress.errors import ExportError
from gancompress.methods.budget import CostLimit
from gancompress.networks.generator import Generator
from gancompress.quantization import FLOAT, QuantizationOptions
from gancompress.steps.step import Context

TABLE_FILE = "latency.json"
"""Data of a step's latency model, in the step's directory: a resumed step computes the same costs."""


def cost_of_plans(
    budget: CostLimit,
    wide: Generator,
    graph: ChannelGraph,
    context: Context,
    variants: Callable[[], Variants],
    quantization: QuantizationOptions = FLOAT,
) -> Callable[[ChannelPlan], float]:
    """Return the cost function of plans, in the unit of the budget's limit.

    Args:
        budget: Budget of the job.
        wide: The network at full width.
        graph: Its graph.
        context: Context of the step.
        variants: Variants of the network to time if the budget is a latency.
        quantization: Quantization of the weights, for a budget in bytes.

    Raises:
        ExportError: The runtime of a latency is missing, or rejects the network.
    """
    if budget.target is None:
        return budget.cost(graph, quantization)
    given = wide, graph, context.example(), budget.target, variants()
    table, main = context.directory / TABLE_FILE, context.accelerator.is_main_process
    if main:
        with _stopping(context):
            learn_latency(*given, keep_at=table, say=context.log.said)
    context.accelerator.wait_for_everyone()
    model = learn_latency(*given, keep_at=table)
    if main:
        context.log.said(f"latency on {budget.target}: {model}")
    return model.at


def measured_latency(budget: CostLimit | None, chosen: Generator, predicted: float, context: Context) -> dict[str, Any]:
    """Return the measured latency of the chosen network, beside the predicted one, as facts for the step's record.

    Empty if the budget is not a latency, and in processes other than the main one.
    """
    if budget is None or budget.target is None or not context.accelerator.is_main_process:
        return {}
    with _stopping(context):
        ms = measure_network(chosen, context.example(), budget.target)
    found = {
        **budget.target.device(),
        "budget_ms": budget.limit,
        "predicted_ms": predicted,
        "measured_ms": ms,
        "relative_error": predicted / ms - 1,
    }
    return {
        "latency": found,
        "note": f"{ms:.2f} ms measured on {budget.target}, {predicted:.2f} predicted, budget {budget.limit:.2f}",
    }


@contextmanager
def _stopping(context: Context) -> Iterator[None]:
    """Raise Interrupted if a measurement failed because the user stopped the run: Ctrl-C reaches its process, too."""
    try:
        yield
    except ExportError:
        if context.stop():
            context.interrupt()
        raise
