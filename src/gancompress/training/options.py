"""Options of the training loop."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal, Self

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import nn

from gancompress.options import Options, as_tuple
from gancompress.quantization.ranges import RangeParameter

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]


IMITATION_BETAS = (0.9, 0.99)
"""Betas of Adam for a student without a discriminator. With those of GANs, 0.5 and 0.999, one large gradient moves
every weight by up to sixteen times the learning rate: a cut network whose outputs explode for one image is lost."""


class OptimizerOptions(Options):
    """Options of the Adam optimizer.

    Attributes:
        learning_rate: Learning rate before any decay.
        betas: Decay rates of the two moments.
        weight_decay: Coupled L2 penalty.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    betas: Annotated[tuple[float, float], BeforeValidator(as_tuple)] = (0.5, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class TrainingOptions(Options):
    """Length and settings of a training run. All durations are in images, so they do not depend on the batch size.

    Attributes:
        num_images: Images at the full learning rate, with those of the warmup.
        num_warmup_images: Images during which the learning rate rises to its full value. Adam's first steps move every
            weight by the whole rate, which spoils weights that are good already, such as those of a refit.
        num_decay_images: Images after those, during which the learning rate falls to 0.
        decay: Shape of the decay: ``linear``, or ``cosine``, half a wave.
        batch_size: Images of one step, over all processes.
        micro_batches: Parts in which each process computes the gradients of its share of a batch; more than 1 makes all
            phases of a step update together.
        precision: Precision of the forward and backward passes; weights and optimizers stay in float32.
        ema_half_life: Images after which an old weight counts half in the moving average; 0 keeps no average.
        optimizer: Options of every optimizer.
        discriminator_learning_rate: Learning rate of discriminators, if it differs from the optimizer's.
        checkpoint_every: Images between checkpoints.
        log_every: Images between records of losses.
        preview_every: Images between sample grids; 0 draws only the last one.
        validate_every: Images between measurements of the generator, averaged where an average is kept, on the split
            ``search`` of a job: the first before any image, the last after all; 0 for none.
    """

    num_images: Positive = 100_000
    num_warmup_images: NotNegative = 0
    num_decay_images: NotNegative = 0
    decay: Literal["linear", "cosine"] = "linear"
    batch_size: Positive = 1
    micro_batches: Positive = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    ema_half_life: NotNegative = 0
    optimizer: OptimizerOptions = OptimizerOptions()
    discriminator_learning_rate: Annotated[float, Field(gt=0)] | None = None
    checkpoint_every: Positive = 10_000
    log_every: Positive = 1_000
    preview_every: NotNegative = 10_000
    validate_every: NotNegative = 0

    @model_validator(mode="after")
    def _warmup_before_decay(self) -> Self:
        if self.num_warmup_images > self.num_images:
            raise ValueError(
                f"num_warmup_images: got {self.num_warmup_images}, expected at most num_images: {self.num_images}, of "
                "which they are a part"
            )
        return self

    @property
    def total_images(self) -> int:
        """Number of images from start to end."""
        return self.num_images + self.num_decay_images

    def crosses(self, num_images: int, every: int) -> bool:
        """Return True if the step that ends after this many images crosses a multiple of ``every``."""
        return num_images // every > (num_images - self.batch_size) // every

    def adam(self, parameters: Iterable[nn.Parameter], *, discriminates: bool = False) -> torch.optim.Adam:
        """Return an Adam optimizer. Learned ranges have no weight decay.

        Args:
            parameters: Parameters to update.
            discriminates: Whether they are those of a discriminator.
        """
        rate = self.optimizer.learning_rate
        if discriminates:
            rate = self.discriminator_learning_rate or rate
        given, decay = list(parameters), self.optimizer.weight_decay
        ranges = [parameter for parameter in given if isinstance(parameter, RangeParameter)]
        weights = [parameter for parameter in given if not isinstance(parameter, RangeParameter)]
        groups = [{"params": weights, "weight_decay": decay}, {"params": ranges, "weight_decay": 0.0}]
        groups = [group for group in groups if group["params"]]
        return torch.optim.Adam(groups, lr=rate, betas=self.optimizer.betas, fused=True)

    def learning_rate_factor(self, num_images: int) -> float:
        """Return the factor of the learning rate once this many images have been trained on.

        Source: Zhu et al., CycleGAN, ICCV 2017, section 5.1: constant, then linear to zero; Loshchilov and Hutter,
        SGDR, ICLR 2017, equation 5: cosine; Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2: warmup.
        """
        if num_images < self.num_warmup_images:
            return min(1.0, (num_images + self.batch_size) / self.num_warmup_images)
        if num_images < self.num_images:
            return 1.0
        done = min(1.0, (num_images - self.num_images) / max(1, self.num_decay_images))
        return 1.0 - done if self.decay == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
