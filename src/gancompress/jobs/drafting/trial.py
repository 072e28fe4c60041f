"""Trial of a network on this machine: its speed, a first cut to the budget, and the speed of training."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan, trace
from gancompress.cost import widest_plan
from gancompress.deploy.latency import measure_network
from gancompress.errors import BudgetError, GanCompressError, MetricError, TraceError
from gancompress.evaluation import Evaluator, PairMetric, find_metric
from gancompress.jobs.drafting.method import MULTIPLES, Narrowed
from gancompress.jobs.drafting.request import Request
from gancompress.jobs.recipe import Job
from gancompress.losses import TERMS
from gancompress.methods.budget import Budget, CostLimit
from gancompress.methods.pace import TRIAL_STEPS, seconds_per_step
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.reconstruction import images_needed

_WARM_S = 1.0
"""Seconds of a first pass above which it counts itself: a slow network needs no warming up."""
_TRIAL_S = 20.0
_KEEP_OF_TRIAL = 0.35


@torch.no_grad()
def seconds_of_pass(network: nn.Module, images: Tensor) -> float:
    """Return the seconds of a forward pass over images; a fast network is warmed up by a first one."""

    def timed() -> float:
        began = time.perf_counter()
        network(images)
        return time.perf_counter() - began

    first = timed()
    return first if first > _WARM_S else timed()


def narrowed(generator: Generator, example: Tensor, request: Request) -> tuple[Generator, Narrowed]:
    """Cut a network to the budget, whatever its most important channels are, to see that and how it can be cut.

    Raises:
        BudgetError: The narrowest network costs more than the budget.
        TraceError: The network cannot be traced.
        ExportError: The runtime of a latency is missing, or rejects the network.
    """
    network = generator.build()
    graph = trace(network, (example,))
    budget = Budget(**request.budget)
    multiple, plan = _plan(generator, graph, example, budget.limit(graph))
    narrow = cut(generator, graph.constrain(multiple=multiple, minimum=multiple), plan)
    return narrow, Narrowed(multiple, images_needed(narrow.build(), example), _has_taps(generator, network, example))


def check_metrics(job: Job, made: Tensor) -> None:
    """Compare outputs of the teacher with themselves by each metric of pairs, so that one that fails is found early.

    Raises:
        MetricError: A metric does not take such outputs, or a function of the user fails.
        CheckpointError: A network of a metric cannot be found or read.
    """
    options = job.metrics
    for name in options.against_teacher:
        metric, _ = find_metric(name, options.networks)
        if not isinstance(metric, PairMetric):
            continue
        try:
            evaluator = Evaluator([name], options.specs(), holds_images=job.data.holds_images)
            evaluator.add(made, made)
            evaluator.results()
        except GanCompressError:
            raise
        except Exception as error:  # a function of the user may raise anything
            raise MetricError(
                f"metric {name}: raised {type(error).__name__}: {error} for two batches {list(made.shape)}, expected "
                "one value for each image"
            ) from error


def training_pace(
    student: Generator, teacher: Generator, crops: Tensor, batch_size: int, terms: list[dict[str, Any]], pass_s: float
) -> float:
    """Return the seconds of a training step on this machine; a slow teacher gets fewer steps of trial."""
    steps = max(1, min(TRIAL_STEPS, int(_TRIAL_S / (batch_size * pass_s))))
    batch = crops[torch.arange(batch_size) % len(crops)]
    options = {"terms": tuple(TERMS.parse(term) for term in terms), "target": "teacher"}
    return seconds_per_step(student.build(), teacher.build(), {"input": batch}, batch_size, options, steps)


def _plan(generator: Generator, graph: ChannelGraph, example: Tensor, limit: CostLimit) -> tuple[int, ChannelPlan]:
    """Return the largest multiple of widths at which the budget can be met, and a plan for it."""
    for multiple in MULTIPLES:
        legal = graph.constrain(multiple=multiple, minimum=multiple)
        try:
            if limit.target is None:
                return multiple, widest_plan(legal, limit.cost(legal), limit.limit, limit.unit)
            narrowest = cut(generator, legal, legal.smallest_plan())
            milliseconds = measure_network(narrowest, example, limit.target)
            if milliseconds <= limit.limit:
                return multiple, legal.uniform_plan(_KEEP_OF_TRIAL)
            raise BudgetError(
                f"budget: got {limit.limit:g} {limit.unit}, but the narrowest network takes {milliseconds:.2f} for "
                f"{example.shape[2]}x{example.shape[3]}; raise --ms, or give a smaller --size"
            )
        except BudgetError:
            if multiple == MULTIPLES[-1]:
                raise
    raise AssertionError


def _has_taps(generator: Generator, network: nn.Module, example: Tensor) -> bool:
    try:
        return bool(generator.architecture.taps(network, (example,)))
    except TraceError:
        return False
