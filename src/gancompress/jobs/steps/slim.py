"""Slimming step: channel pruning and distillation in one objective.

Source: Wang et al., GAN Slimming, ECCV 2020, equation 4.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from gancompress.jobs.steps.discriminators import trained_discriminator
from gancompress.jobs.steps.learning import Learning
from gancompress.jobs.steps.quantize import Quantizing
from gancompress.jobs.steps.recalibration import recalibrated
from gancompress.jobs.steps.step import Goal, StepRun, Work, register_step
from gancompress.losses import Adversarial, Perceptual, Weight
from gancompress.methods.budget import CostLimit
from gancompress.methods.slim import train_slimming, with_affine_norms
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.objectives.slimming import PenaltySchedule
from gancompress.slimming import NARROWEST
from gancompress.tasks.inputs import Inputs

Images = Annotated[int, Field(ge=1)]

SLIMMING = DistillationOptions(
    terms=(Perceptual(20, published="gan_slimming"), Adversarial(1, form="lsgan", real="teacher")),
    reconstruct="teacher",
)
"""The terms of the paper."""


@register_step
class Slim(Learning, Quantizing):
    """Step that trains the network under a sparsity penalty on channel scales, and removes the channels at zero.

    With ``depth`` each residual block has a scale too, a gate on what it adds, and leaves with its gate at zero.

    Weights and activations may be quantized during training, so that the pruned network is the one that will run.

    The scales are the gammas of affine norms; instance norms of a built-in family become affine for it, with scale 1
    and shift 0. Groups without a norm get an extra scale on the weights that read them; a gate scales the last layer of
    its block.

    Attributes:
        penalty: Weight of the scales' sum (rho); the initial weight if the job has a budget.
        steer: Whether the penalty follows a schedule to the job's budget, in ``steer_images``; otherwise it is
            constant, and a network over the budget at the end is pruned at a common threshold.
        steer_images: Images until the budget is reached; two thirds of the training by default.
        streams: Whether residual streams lose channels too, by the joint scale of all layers that write them; in the
            paper they do not.
        depth: Whether residual blocks are left out too; in the paper they stay.
        minimum: Narrowest width of a group.
        scale_learning_rate: Learning rate of SGD on the scales.
        scale_momentum: Momentum of SGD on the scales.
        adjust_every: Images between corrections of the penalty.
        remove_every: Images between removals. A channel is removed once it was dead at two of them in a row.
    """

    kind = "slim"

    distillation: DistillationOptions = SLIMMING
    penalty: Weight = 0.01
    steer: bool = True
    steer_images: Images | None = None
    streams: bool = False
    depth: bool = False
    minimum: Annotated[int, Field(ge=NARROWEST)] = 4
    scale_learning_rate: Annotated[float, Field(gt=0)] = 0.1
    scale_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    adjust_every: Images = 500
    remove_every: Images = 2_000

    @model_validator(mode="after")
    def _options_count(self) -> Slim:
        if self.training.ema_half_life:
            raise ValueError("training.ema_half_life: expected none, because scales that are averaged never reach 0")
        if self.steer and not self.penalty:
            raise ValueError("penalty: got 0, expected more to begin with, or steer: false")
        return self

    @property
    def uses_budget(self) -> bool:
        """True; the budget is used if the job has one."""
        return True

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Slim the work's generator."""
        generator = with_affine_norms(work.generator, streams=self.depth)
        budget, total = goal.budget or CostLimit(math.inf, "parameters"), self.training.total_images
        schedule = PenaltySchedule(
            learning_rate=self.scale_learning_rate,
            momentum=self.scale_momentum,
            penalty=self.penalty,
            steer=goal.budget is not None and self.steer,
            limit=budget.limit,
            unit=budget.unit,
            num_images=self.steer_images or max(1, 2 * total // 3),
            adjust_every=self.adjust_every,
            remove_every=self.remove_every,
            training=self.training,
        )
        supervision, given = self.supervision(work, inputs, run)
        slimming = train_slimming(
            generator,
            supervision,
            schedule,
            self.training_data(inputs, run),
            run,
            lambda given: inputs.graph(given, multiple=1, minimum=self.minimum),
            budget.cost,
            streams=self.streams,
            depth=self.depth,
            quantization=self.begun(generator, inputs, run.device),
        )
        if slimming is None:
            run.interrupt()
        example = inputs.task.encode(inputs.first_images("train", 8)["input"])
        slim, quantization = slimming.result(example, run.log.said)
        facts = {"penalty": slimming.penalty, "removals": slimming.removals, "cut": slimming.cut}
        newest = trained_discriminator(given, supervision.discriminator) or work.discriminator
        return recalibrated(Work(work.teacher, slim, newest, facts, quantization, slimming.uncut), inputs, run.device)
