"""CycleGAN: training of two teachers without pairs.

Source: Zhu et al., CycleGAN, ICCV 2017, section 3; identity loss section 5.2; image pool section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.losses import AdversarialLoss, GanForm, Weight
from gancompress.options import Options
from gancompress.tasks.task import Task
from gancompress.training import Batch, Losses, Objective, Phase


class CycleGanOptions(Options):
    """Loss weights and image pools of CycleGAN.

    Attributes:
        gan: Form of the adversarial loss.
        lambda_cycle: Weight of the cycle consistency, the mean absolute difference after both translations.
        lambda_identity: Weight of the difference that a generator makes to an image of its target domain, relative to
            ``lambda_cycle``.
        pool_size: Capacity of the pools of generated images from which the discriminators are shown earlier ones.
    """

    gan: GanForm = "lsgan"
    lambda_cycle: Weight = 10.0
    lambda_identity: Weight = 0.5
    pool_size: Annotated[int, Field(ge=0)] = 50


class ImagePool:
    """Pool of generated images from earlier steps.

    Source: Shrivastava et al., CVPR 2017, section 2.3.
    """

    def __init__(self, size: int) -> None:
        """Create an empty pool of at most ``size`` images; with 0 it returns its input."""
        self._size = size
        self.images: list[Tensor] = []

    def exchange(self, images: Tensor) -> Tensor:
        """Return each of the images [b, c, h, w] or, half of the time, an earlier one that it replaces in the pool."""
        shown = []
        for image in images.detach():
            if len(self.images) < self._size:
                self.images.append(image.clone())
            elif self._size and torch.rand(()) < 0.5:
                place = int(torch.randint(self._size, ()))
                image, self.images[place] = self.images[place], image.clone()
            shown.append(image)
        return torch.stack(shown)


class _Round(NamedTuple):
    """Outputs of the generators for one batch."""

    fake_b: Tensor
    fake_a: Tensor
    again_a: Tensor
    again_b: Tensor


class CycleGanObjective(Objective):
    """Objective of CycleGAN: both generators first, then both discriminators on images from the pools."""

    averaged = ("generator", "generator_back")

    def __init__(self, task: Task, networks: Mapping[str, nn.Module], options: CycleGanOptions) -> None:
        """Take the four networks to train.

        Args:
            task: An unpaired task.
            networks: ``generator`` from A (``input``) to B (``target``), ``generator_back`` from B to A,
                ``discriminator`` of B and ``discriminator_back`` of A.
            options: Weights of the terms.
        """
        self.task, self.options, self._gan = task, options, AdversarialLoss(options.gan)
        self.modules = dict(networks)
        self.frozen = {}
        self._pools = {"b": ImagePool(options.pool_size), "a": ImagePool(options.pool_size)}
        self.phases = (
            Phase("generator", ("generator", "generator_back"), self._generator_loss),
            Phase(
                "discriminator", ("discriminator", "discriminator_back"), self._discriminator_loss, discriminates=True
            ),
        )

    def forward(self, batch: Batch, num_images: int) -> _Round:
        """Translate both images, and translate them back."""
        there, back = self.modules["generator"], self.modules["generator_back"]
        fake_b, fake_a = there(batch["input"]), back(batch["target"])
        return _Round(fake_b, fake_a, back(fake_b), there(fake_a))

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return the input and its translation."""
        return self.task.columns(batch, {"teacher": modules["generator"](batch["input"])})

    def memory(self) -> dict[str, Tensor]:
        """Return the images of both pools."""
        return {name: torch.stack(pool.images) for name, pool in self._pools.items() if pool.images}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Restore the images of both pools."""
        device = next(self.modules["generator"].parameters()).device
        for name, images in memory.items():
            self._pools[name].images = list(images.to(device))

    def _generator_loss(self, batch: Batch, made: _Round) -> Losses:
        real_a, real_b, o = batch["input"], batch["target"], self.options
        losses = {
            "gan": self._gan.generator(self.modules["discriminator"](made.fake_b)),
            "gan_back": self._gan.generator(self.modules["discriminator_back"](made.fake_a)),
            "cycle": o.lambda_cycle * _difference(made.again_a, real_a),
            "cycle_back": o.lambda_cycle * _difference(made.again_b, real_b),
        }
        if o.lambda_identity:
            weight = o.lambda_cycle * o.lambda_identity
            losses["identity"] = weight * _difference(self.modules["generator"](real_b), real_b)
            losses["identity_back"] = weight * _difference(self.modules["generator_back"](real_a), real_a)
        return losses

    def _discriminator_loss(self, batch: Batch, made: _Round) -> Losses:
        def loss(name: str, real: Tensor, fake: Tensor) -> Tensor:
            discriminator = self.modules[name]
            return 0.5 * self._gan.discriminator(discriminator(real), discriminator(fake))

        return {
            "gan": loss("discriminator", batch["target"], self._pools["b"].exchange(made.fake_b)),
            "gan_back": loss("discriminator_back", batch["input"], self._pools["a"].exchange(made.fake_a)),
        }


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()
