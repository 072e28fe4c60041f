"""GauGAN: training of a teacher that generates photographs from label maps.

Source: Park et al., SPADE, CVPR 2019, section 3 and appendix A; the order of updates as released.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gancompress.losses import AdversarialLoss, GanForm, PerceptualLoss, PerceptualOptions, Weight, feature_matching
from gancompress.networks.given import one_tensor
from gancompress.options import Options
from gancompress.tasks.task import Task
from gancompress.training import Batch, Losses, Objective, Phase


class GauganOptions(Options):
    """Loss weights of GauGAN.

    Attributes:
        gan: Form of the adversarial loss.
        lambda_gan: Weight of the adversarial loss.
        lambda_feature_matching: Weight of the distance of the discriminator's feature maps.
        lambda_perceptual: Weight of the perceptual distance from the photograph.
        perceptual: The perceptual distance.
    """

    gan: GanForm = "hinge"
    lambda_gan: Weight = 1.0
    lambda_feature_matching: Weight = 10.0
    lambda_perceptual: Weight = 10.0
    perceptual: PerceptualOptions = PerceptualOptions(published="spade")


class GauganObjective(Objective):
    """Objective of GauGAN: the generator first, then the discriminator on the updated generator's images."""

    averaged = ("generator",)

    def __init__(self, task: Task, generator: nn.Module, discriminator: nn.Module, options: GauganOptions) -> None:
        """Take the two networks to train.

        Args:
            task: A paired task.
            generator: Maps the task's encoded input to images.
            discriminator: Takes the task's discriminator input; returns the feature maps of each scale if they are
                compared.
            options: Weights of the terms.

        Raises:
            ConfigError: The perceptual distance does not fit its network.
            CheckpointError: The network of the perceptual distance cannot be loaded or read.
        """
        self.task, self.options, self._gan = task, options, AdversarialLoss(options.gan)
        self.modules = {"generator": generator, "discriminator": discriminator}
        self._perceptual: PerceptualLoss | None = options.perceptual.load() if options.lambda_perceptual else None
        self.frozen = {"perceptual": self._perceptual} if self._perceptual is not None else {}
        self.phases = (
            Phase("generator", ("generator",), self._generator_loss),
            Phase("discriminator", ("discriminator",), self._discriminator_loss, discriminates=True),
        )

    def forward(self, batch: Batch, num_images: int) -> Tensor:
        """Return the encoded input of the generator."""
        return one_tensor(self.task.encode(batch["input"]), "gaugan")

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return the label map, the generated image and the photograph."""
        return self.task.columns(batch, {"teacher": modules["generator"](self.task.encode(batch["input"]))})

    def _discriminator_outputs(self, batch: Batch, image: Tensor) -> tuple[Any, Any]:
        seen, real = self.task.seen(batch, image), self.task.real(batch)
        return in_one_batch(self.modules["discriminator"], seen, real)

    def _generator_loss(self, batch: Batch, given: Tensor) -> Losses:
        o, image = self.options, self.modules["generator"](given)
        fake, real = self._discriminator_outputs(batch, image)
        losses = {"gan": o.lambda_gan * self._gan.generator(fake)}
        if o.lambda_feature_matching:
            losses["feature_matching"] = o.lambda_feature_matching * feature_matching(fake, real)
        if self._perceptual is not None:
            losses["perceptual"] = o.lambda_perceptual * self._perceptual(image, batch["target"])
        return losses

    def _discriminator_loss(self, batch: Batch, given: Tensor) -> Losses:
        with torch.no_grad():
            image = self.modules["generator"](given)
        fake, real = self._discriminator_outputs(batch, image)
        return {"gan": self._gan.discriminator(real, fake)}


def in_one_batch(discriminator: nn.Module, fake: Tensor, real: Tensor) -> tuple[Any, Any]:
    """Return the discriminator's outputs for generated and real images, run in one batch.

    Args:
        discriminator: Returns one tensor, or any nesting of lists of tensors, with the batch in front.
        fake: Generated images as its input, [b, c, h, w].
        real: Real images, of the same shape.

    Returns:
        Its output for the generated and for the real images.

    Source: Park et al., SPADE, CVPR 2019, as released.
    """
    both = discriminator(torch.cat([fake, real]))
    count = len(fake)
    return tree_map_only(Tensor, lambda t: t[:count], both), tree_map_only(Tensor, lambda t: t[count:], both)
