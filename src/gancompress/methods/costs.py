"""Cost of plans in the unit of a budget, with the latency of a runtime measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.deploy.latency import Variants, learn_latency, measure_network
from gancompress.errors import ConfigError, ExportError
from gancompress.methods.budget import CostLimit
from gancompress.networks.generator import Generator

TABLE_FILE = "latency.json"
"""Measurements that a latency model is fitted to, in the directory of a run: a resumed run computes the same costs."""


def never() -> None:
    """Do not stop."""


def silent(line: str) -> None:
    """Ignore a message."""


def cost_of_plans(
    limit: CostLimit,
    network: Generator | nn.Module,
    graph: ChannelGraph,
    example: Callable[[], Tensor],
    variants: Callable[[], Variants],
    *,
    table: Path | None = None,
    say: Callable[[str], None] = silent,
    check_stop: Callable[[], None] = never,
) -> Callable[[ChannelPlan], float]:
    """Return the cost function of plans, in the unit of the limit. For a latency, measure what its model lacks.

    Args:
        limit: Upper limit of the cost.
        network: The network at full width; it is not changed.
        graph: Its graph.
        example: Returns an input of batch 1; needed for a latency.
        variants: Returns the widths and plans to measure for a latency.
        table: File of the measurements; an existing one is used unchanged. None uses the cache of this machine.
        say: Receives messages.
        check_stop: Raises if the user asked to stop.

    Raises:
        ExportError: The runtime of a latency is missing, or rejects the network.
    """
    if limit.target is None:
        return limit.cost(graph)
    given = _as_generator(network), graph, example(), limit.target, variants()
    processes = PartialState()
    if processes.is_main_process:
        with _stopping(check_stop):
            learn_latency(*given, keep_at=table, say=say)
    processes.wait_for_everyone()
    model = learn_latency(*given, keep_at=table)
    if processes.is_main_process:
        say(f"latency on {limit.target}: {model}")
    return model.at


@dataclass(frozen=True)
class MeasuredLatency:
    """Latency of a compressed network, beside the prediction of the model that chose it.

    Attributes:
        device: Processor, runtime and version, threads.
        budget_ms: The budget.
        predicted_ms: Prediction of the latency model.
        measured_ms: Measurement of the whole network.
    """

    device: dict[str, str]
    budget_ms: float
    predicted_ms: float
    measured_ms: float

    def facts(self) -> dict[str, Any]:
        """Return the facts of a step's record."""
        return {
            **self.device,
            "budget_ms": self.budget_ms,
            "predicted_ms": self.predicted_ms,
            "measured_ms": self.measured_ms,
            "relative_error": self.predicted_ms / self.measured_ms - 1,
        }


def measured_latency(
    limit: CostLimit | None,
    network: Generator | nn.Module,
    example: Callable[[], Tensor],
    predicted: float,
    check_stop: Callable[[], None] = never,
) -> MeasuredLatency | None:
    """Measure the latency of a compressed network.

    Args:
        limit: The limit that it was compressed to.
        network: The compressed network.
        example: Returns an input of batch 1.
        predicted: Prediction of its latency model, in ms.
        check_stop: Raises if the user asked to stop.

    Returns:
        None if the limit is no latency, and in processes other than the main one.

    Raises:
        ExportError: The runtime is missing, or rejects the network.
    """
    if limit is None or limit.target is None or not PartialState().is_main_process:
        return None
    with _stopping(check_stop):
        ms = measure_network(_as_generator(network), example(), limit.target)
    return MeasuredLatency(limit.target.device(), limit.limit, predicted, ms)


def latency_facts(limit: CostLimit | None, measured: MeasuredLatency | None) -> dict[str, Any]:
    """Return a measured latency and a note as facts for a step's record; empty without a measurement."""
    if limit is None or measured is None:
        return {}
    note = (
        f"{measured.measured_ms:.2f} ms measured on {limit.target}, {measured.predicted_ms:.2f} predicted, "
        f"budget {limit.limit:.2f}"
    )
    return {"latency": measured.facts(), "note": note}


def single_image(x: Any) -> Callable[[], Tensor]:
    """Return a function for the first image of an example input, batch 1.

    The function raises ConfigError for a network of several inputs, because its parts cannot be timed alone.
    """

    def example() -> Tensor:
        inputs = tuple(x) if isinstance(x, tuple | list) else (x,)
        if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
            raise ConfigError(
                f"budget: got latency_ms for a network of {len(inputs)} inputs, expected one tensor as its input; "
                "give a budget in macs, parameters or bytes"
            )
        return inputs[0][:1].detach().cpu()

    return example


@contextmanager
def _stopping(check_stop: Callable[[], None]) -> Iterator[None]:
    """Stop instead of failing if a measurement ended because the user stopped the run: Ctrl-C ends its process too."""
    try:
        yield
    except ExportError:
        check_stop()
        raise


def _as_generator(network: Generator | nn.Module) -> Generator:
    return network if isinstance(network, Generator) else Generator.from_module(network)
