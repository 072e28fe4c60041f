"""Slimming: remove channels and residual blocks of a network while it learns from its teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from gancompress.channels import ChannelGraph
from gancompress.channels import trace as trace_channels
from gancompress.channels.skeleton import copy_module
from gancompress.cost import amount
from gancompress.losses import L1
from gancompress.methods.budget import Budget, CostLimit
from gancompress.methods.data import Batches, Data, batch_size_of
from gancompress.methods.distill import RECALIBRATION_IMAGES, AnyTerm, distillation_options, fit_distillation
from gancompress.methods.progress import Report
from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.save import save
from gancompress.methods.training import (
    TrainingData,
    cache_options,
    described_training,
    digest_of,
    own_run,
    restored,
    training_options,
)
from gancompress.networks.generator import Generator
from gancompress.networks.reparametrized import fold_reparametrizations
from gancompress.objectives.slimming import PenaltySchedule, Slimming
from gancompress.objectives.supervision import Supervision
from gancompress.objectives.teacher_cache import TeacherCacheOptions
from gancompress.quantization import Quantization
from gancompress.slimming import Cost
from gancompress.training import Run, TrainingOptions

DEFAULT_TERMS = (L1(100),)


@dataclass(frozen=True)
class Slimmed:
    """A slimmed network.

    Attributes:
        module: The narrow network, in evaluation mode; None if training was stopped before its end.
        cost: Its cost, in ``unit``.
        unit: Unit of the budget.
        losses: Mean losses by name with ``num_images``, in order.
        finished: Whether training reached its end.
        shortfall: Warning that the penalty did not reach the budget and a cut at the end had to; None if it did.
    """

    module: nn.Module | None = field(repr=False)
    cost: float
    unit: str
    losses: Sequence[dict[str, float]] = field(repr=False)
    finished: bool
    shortfall: str | None = None

    def __str__(self) -> str:
        if not self.finished:
            return "stopped; the same call goes on from here"
        return "\n".join(filter(None, (amount(self.cost, self.unit), self.shortfall)))

    def save(self, directory: str | Path) -> str:
        """Write the network with `gancompress.save`; returns the line of Python that loads it."""
        assert self.module is not None
        return save(self.module, directory)


def slim(
    network: nn.Module,
    data: Data,
    *,
    budget: Budget,
    images: int,
    teacher: nn.Module | None = None,
    terms: Sequence[AnyTerm] | None = None,
    batch_size: int | None = None,
    lr: float = 2e-4,
    penalty: float = 0.01,
    penalty_images: int | None = None,
    scale_lr: float = 0.1,
    streams: bool = True,
    depth: bool = False,
    minimum: int = 4,
    target: Literal["auto", "teacher"] = "auto",
    discriminator: nn.Module | None = None,
    teacher_cache: TeacherCacheOptions | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    progress: bool | Report = True,
    stop: Callable[[], bool] | None = None,
    seed: int = 0,
    **training: Any,
) -> Slimmed:
    """Train a network while a penalty drives scales of its channels to zero, and remove those channels.

    With ``depth`` each residual block has such a scale too, a gate on what it adds, and leaves with its gate.

    With ``out``, the same call resumes where it was stopped. Weight norm and spectral norm are replaced by the weights
    that they compute in evaluation, because scales are of plain weights.

    Args:
        network: The network to slim; it is not changed.
        data: Batches, as for `gancompress.distill`.
        budget: Cost not to exceed.
        images: Images to train on.
        teacher: Network to learn from; by default a copy of the network before slimming.
        terms: Losses with their weights, none of them on feature maps; by default ``[L1(100)]``.
        batch_size: Images of a step; that of the data by default.
        lr: Learning rate of the weights.
        penalty: Initial weight of the sum of all scales; it is then adjusted to reach the budget.
        penalty_images: Images until the budget is to be reached; two thirds of the training by default.
        scale_lr: Learning rate of the scales.
        streams: Whether residual streams lose channels too.
        depth: Whether residual blocks are left out too.
        minimum: The narrowest width of a group.
        target: Target of the terms, as for `gancompress.distill`.
        discriminator: Discriminator, as for `gancompress.distill`.
        teacher_cache: Options of the cache of the teacher's outputs, as for `gancompress.distill`.
        out: Directory of checkpoints and losses; by default nothing is saved.
        progress: True shows the progress, False does not; or a function that is called with it.
        stop: Called after every step; when it returns True the state is saved and training ends.
        seed: Seed of random numbers.
        training: Further options of `gancompress.training.TrainingOptions`.

    Raises:
        BudgetError: The narrowest network costs more than the budget.
        ConfigError: A term does not fit, no group can lose channels, ``depth`` finds no block, or ``out`` holds another
            run.
        DataError: There are no batches, or some are of an unknown kind.

    Source: Wang et al., GAN Slimming, ECCV 2020, equation 4.
    """
    batches = Batches(data)
    example = batches.first["input"][:1]
    teacher = copy_module(network) if teacher is None else teacher
    options = distillation_options(terms, (), (), target, discriminator, DEFAULT_TERMS)
    how = training_options(images, batch_size or batch_size_of(batches), lr, training)
    plain = copy_module(network).cpu()
    fold_reparametrizations(plain)
    generator = Generator.from_module(plain)

    def graph_of(given: Generator) -> ChannelGraph:
        return trace_channels(given.build(), (example,), multiple=1, minimum=minimum)

    limit = budget.limit(graph_of(generator))
    schedule = _penalty_schedule(limit, how, images, penalty, penalty_images, scale_lr)
    keeping = cache_options(teacher_cache)
    described = {
        "network": digest_of(network),
        "teacher": digest_of(teacher),
        "terms": options.model_dump(mode="json", exclude_defaults=True),
        "training": described_training(how, {"log_every", "checkpoint_every"}),
        "budget": budget.model_dump(mode="json", exclude_defaults=True),
        "slimming": [penalty, penalty_images, scale_lr, streams, minimum, *(["depth"] if depth else [])],
        "seed": seed,
        "teacher_cache": keeping.model_dump(exclude_defaults=True) or None,
    }
    others = [each for each in (discriminator,) if each is not None]
    saving: dict[str, Any] = {"described": described, "out": out, "progress": progress, "stop": stop, "seed": seed}
    with restored(teacher, *others), own_run("slim", batches, **saving) as run:
        supervision = Supervision(teacher, discriminator, options)
        objective = train_slimming(
            *(generator, supervision, schedule, run.data(keeping), run, graph_of, limit.cost),
            streams=streams,
            depth=depth,
        )
        losses = run.losses
    if objective is None:
        return Slimmed(None, float("nan"), limit.unit, losses, False)
    slimmed, _ = objective.result(batches.first["input"][:8])
    module = slimmed.build()
    recalibrate(module, batches.inputs(RECALIBRATION_IMAGES))
    device = next(network.parameters()).device
    return Slimmed(module.to(device).eval(), objective.cut["cost"], limit.unit, losses, True, objective.shortfall)


def _penalty_schedule(
    limit: CostLimit, how: TrainingOptions, images: int, penalty: float, penalty_images: int | None, scale_lr: float
) -> PenaltySchedule:
    """Return the schedule for a number of images: it adjusts the penalty and removes channels at parts of them."""
    return PenaltySchedule(
        learning_rate=scale_lr,
        momentum=0.5,
        penalty=penalty,
        steer=True,
        limit=limit.limit,
        unit=limit.unit,
        num_images=penalty_images or max(1, 2 * images // 3),
        adjust_every=max(1, min(500, images // 40)),
        remove_every=max(1, min(2_000, images // 20)),
        training=how,
    )


def train_slimming(
    generator: Generator,
    supervision: Supervision,
    schedule: PenaltySchedule,
    data: TrainingData,
    run: Run,
    trace: Callable[[Generator], ChannelGraph],
    cost: Callable[[ChannelGraph], Cost],
    *,
    streams: bool,
    depth: bool,
    quantization: Quantization | None = None,
) -> Slimming | None:
    """Train a network under a sparsity penalty, from the newest checkpoint of the run, and remove channels meanwhile.

    Args:
        generator: The network to slim; it is not changed.
        supervision: Networks to learn from, and the loss terms, none of them on feature maps.
        schedule: Penalty schedule, with the options of the training loop.
        data: The training data.
        run: Directory, log and processes.
        trace: Traces the channel graph of a generator.
        cost: Takes a graph and returns the cost of its plans.
        streams: Whether residual streams lose channels too.
        depth: Whether residual blocks are left out too.
        quantization: Quantization of the network while it trains; None leaves it float.

    Returns:
        The trained objective, whose `Slimming.result` is the slimmed network; None if training was stopped.

    Raises:
        BudgetError: The narrowest network costs more than the limit of the schedule.
        ConfigError: A term does not fit, no group can lose channels, or ``depth`` finds no block.
        TrainingError: A loss or gradient is not finite.
    """
    torch.manual_seed(run.seed + 4)
    widths = generator, quantization, trace, cost, streams, depth, schedule
    objective = Slimming(*widths, data.task, supervision, data.example)
    return objective if fit_distillation(objective, schedule.training, data, run) else None


def with_affine_norms(generator: Generator, streams: bool = False) -> Generator:
    """Return the same function with affine instance norms where pruning needs them, scale 1 and shift 0.

    A generator whose family has no such option is returned unchanged.

    Args:
        generator: The generator.
        streams: Whether the norms of residual streams become affine too, such as those that end a block.
    """
    lacking, affine = (("none", "prunable"), "all") if streams else (("none",), "prunable")
    if generator.architecture.options.get("affine_norms") not in lacking:
        return generator
    architecture = generator.architecture.with_options(affine_norms=affine)
    return Generator(architecture, {**architecture.build().state_dict(), **generator.state})
