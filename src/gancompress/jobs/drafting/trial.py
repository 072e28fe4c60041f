"""Trial of a network on this machine: its speed, a first cut to the budget, and the speed of training."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan, trace
from gancompress.cost import widest_plan
from gancompress.deploy.latency import measure_network
from gancompress.errors import BudgetError, ConfigError, GanCompressError, MetricError, TraceError
from gancompress.evaluation import Evaluator, PairMetric, find_metric
from gancompress.importance import candidate_blocks
from gancompress.jobs.drafting.method import MULTIPLES, Narrowed, Pace, is_refitted
from gancompress.jobs.drafting.request import Request
from gancompress.jobs.recipe import Job
from gancompress.jobs.steps.networks import NetworkOptions
from gancompress.losses import TERMS
from gancompress.methods.budget import Budget, CostLimit
from gancompress.methods.depth import plans_by_depth
from gancompress.methods.pace import TRIAL_STEPS, seconds_per_step
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given, arguments, call, joined, one_tensor, sizes
from gancompress.networks.outputs import image_of, tensors_of
from gancompress.networks.registry import FAMILIES
from gancompress.objectives.taps import outside_blocks
from gancompress.reconstruction import images_needed

_WARM_S = 1.0
"""Seconds of a first pass above which it counts itself: a slow network needs no warming up."""
_TRIAL_S = 20.0
_KEEP_OF_TRIAL = 0.35
_CLEARLY_FASTER = 0.8
"""Largest share of the seconds of a step in float32 at which a step in bf16 is worth its rounding."""


@torch.no_grad()
def seconds_of_pass(network: nn.Module, given: Given, precision: str = "fp32") -> float:
    """Return the seconds of a forward pass over inputs; a fast network is warmed up by a first one."""

    def timed() -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            call(network, given)
        return time.perf_counter() - began

    first = timed()
    return first if first > _WARM_S else timed()


@torch.no_grad()
def student_like(request: Request, generator: Generator, example: Given) -> NetworkOptions | None:
    """Return the student of another architecture, with the channels and scale of the network; None without one.

    Raises:
        ConfigError: There is no such family, or its output has another shape.
    """
    if request.like is None:
        return None
    family = FAMILIES.find(request.like, "--like")
    example = one_tensor(example, "--like")
    made = image_of(generator.build()(example))
    facts = {"in_channels": example.shape[1], "out_channels": made.shape[1]}
    facts["scale"] = made.shape[2] // example.shape[2] if made.dim() == 4 else 1
    known = {name: value for name, value in facts.items() if name in family.config_type.model_fields}
    student = NetworkOptions(family=request.like, config=known)
    network = student.fresh(0)
    network.architecture.check_input(example)
    got = image_of(network.build()(example)).shape
    if got != made.shape:
        raise ConfigError(
            f"--like: got '{request.like}', which makes {list(got[1:])} of {list(example.shape[1:])}, expected "
            f"{list(made.shape[1:])} as the original makes; give another family"
        )
    return student


def narrowed(
    generator: Generator, example: Given, request: Request, student: NetworkOptions | None = None, num_refit: int = 0
) -> tuple[Generator, Narrowed]:
    """Cut a network to the budget, whatever its most important channels are, to see that and how it can be cut.

    Args:
        generator: The network.
        example: An input, batch 1.
        request: The request.
        student: Another architecture to cut, instead of the network.
        num_refit: Number of images that there are for a refit; a network that is not refitted keeps its blocks.

    Raises:
        BudgetError: The narrowest network costs more than the budget.
        TraceError: The network cannot be traced.
        ExportError: The runtime of a latency is missing, or rejects the network.
    """
    network = generator.build()
    given = arguments(network, example)
    graph = trace(network, given)
    limit = Budget(**request.budget).limit(graph)
    if student is not None:
        wide = student.fresh(0)
        graph = trace(wide.build(), given)
        multiple, plan = _plan(wide, graph, example, limit)
        narrow = cut(wide, graph.constrain(multiple=multiple, minimum=multiple), plan)
        return narrow, Narrowed(multiple, None, (), kept_bytes=_kept_bytes(network, given, ()))
    blocks = candidate_blocks(graph)
    multiple, plan = _plan(generator, graph, example, limit, blocks)
    narrow, needed = _cut(generator, graph, multiple, plan, given)
    num_left_out = len(plan.left_out)
    if plan.left_out and not is_refitted(needed, num_refit):
        multiple, plan = _plan(generator, graph, example, limit)
        narrow, needed = _cut(generator, graph, multiple, plan, given)
    taps = _taps(generator, network, given)
    kept = _kept_bytes(network, given, taps)
    return narrow, Narrowed(multiple, needed, outside_blocks(taps, plan.left_out), len(blocks), num_left_out, kept)


def _cut(
    generator: Generator, graph: ChannelGraph, multiple: int, plan: ChannelPlan, given: Sequence[Tensor]
) -> tuple[Generator, int | None]:
    """Return the network at a plan, and the number of images that its refit needs."""
    narrow = cut(generator, graph.constrain(multiple=multiple, minimum=multiple), plan)
    return narrow, images_needed(narrow.build(), given)


def families_like(generator: Generator, example: Given, output: Sequence[int]) -> tuple[str, ...]:
    """Return the other families of upscalers, if a network is one: those whose factor of the size can be chosen.

    Args:
        generator: The network.
        example: An input, batch 1.
        output: Shape of its output for one input, without the batch.
    """
    if not isinstance(example, Tensor) or example.dim() != 4 or len(output) != 3 or output[1] <= example.shape[2]:
        return ()
    others = (name for name in FAMILIES if name != generator.family)
    return tuple(name for name in others if "scale" in FAMILIES.find(name, "--like").config_type.model_fields)


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
    student: Generator,
    teacher: Generator,
    inputs: Given,
    batch_size: int,
    terms: list[dict[str, Any]],
    taps: Sequence[str],
    pass_s: float,
    num_kept: int | None = None,
    *,
    try_bf16: bool = False,
) -> Pace:
    """Return the pace of training on this machine; a slow teacher gets fewer steps of trial.

    Args:
        student: The student.
        teacher: The network.
        inputs: Some inputs.
        batch_size: Inputs of a step.
        terms: Loss terms.
        taps: Modules whose feature maps are compared; not used by a term that compares none.
        pass_s: Seconds of the network for one input.
        num_kept: Number of inputs whose outputs training keeps, if memory holds them; None for those of a disk.
        try_bf16: Whether to train in bf16 if a step is clearly faster in it.
    """
    steps = max(1, min(TRIAL_STEPS, int(_TRIAL_S / (batch_size * pass_s))))
    batch = joined([inputs] * math.ceil(batch_size / len(inputs)))[:batch_size]
    options = {"terms": tuple(TERMS.parse(term) for term in terms), "target": "teacher", "taps": taps}
    networks = student.build(), teacher.build()

    def step_s(precision: str, kept: int | None = None) -> float:
        given = options | {"precision": precision}
        return seconds_per_step(*networks, {"input": batch}, batch_size, given, steps, kept)

    num_kept = num_kept or len(batch)
    kept_s = step_s("fp32", num_kept)
    if try_bf16 and (in_half := step_s("bf16", num_kept)) < _CLEARLY_FASTER * kept_s:
        pass_s = seconds_of_pass(networks[1], inputs[:1], "bf16")
        return Pace(pass_s, step_s("bf16"), in_half, "bf16")
    return Pace(pass_s, step_s("fp32"), kept_s)


def _plan(
    generator: Generator, graph: ChannelGraph, example: Given, limit: CostLimit, blocks: Sequence[str] = ()
) -> tuple[int, ChannelPlan]:
    """Return the largest multiple of widths at which the budget can be met, and a plan for it.

    The multiple allows the budget with all blocks, too. The plan is the one of the fewest blocks that is tried: such a
    network is usually the one nearest to the original, and its pace is then that of the job.
    """
    for multiple in MULTIPLES:
        legal = graph.constrain(multiple=multiple, minimum=multiple)
        try:
            if limit.target is None:
                cost = limit.cost(legal)
                plan = widest_plan(legal, cost, limit.limit, limit.unit)
                return multiple, next(iter(plans_by_depth(legal, cost, limit, blocks).values())) if blocks else plan
            narrowest = cut(generator, legal, legal.smallest_plan())
            milliseconds = measure_network(narrowest, one_tensor(example, "--ms"), limit.target)
            if milliseconds <= limit.limit:
                return multiple, legal.uniform_plan(_KEEP_OF_TRIAL)
            raise BudgetError(
                f"budget: got {limit.limit:g} {limit.unit}, but the narrowest network takes {milliseconds:.2f} for "
                f"{sizes(example)}; raise --ms, or give a smaller --size"
            )
        except BudgetError:
            if multiple == MULTIPLES[-1]:
                raise
    raise AssertionError


def _taps(generator: Generator, network: nn.Module, given: Sequence[Tensor]) -> tuple[str, ...]:
    try:
        return generator.architecture.taps(network, given)
    except TraceError:
        return ()


@torch.no_grad()
def _kept_bytes(network: nn.Module, given: Sequence[Tensor], taps: Sequence[str]) -> int:
    """Return the bytes of a network's outputs and maps in half precision, for one input."""
    seen: list[Tensor] = []
    with ExitStack() as stack:
        for tap in taps:
            handle = network.get_submodule(tap).register_forward_hook(lambda _, __, made: seen.extend(tensors_of(made)))
            stack.callback(handle.remove)
        seen += tensors_of(network(*given))
    return 2 * sum(made.numel() for made in seen)
