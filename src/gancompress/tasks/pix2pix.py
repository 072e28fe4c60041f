"""Pix2pix: training of a teacher from pairs.

Source: Isola et al., pix2pix, CVPR 2017, section 3.1; hinge loss and weights: Li et al., GAN Compression, CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gancompress.losses import AdversarialLoss, GanForm, Weight, balance_gradients
from gancompress.options import Options
from gancompress.tasks.task import Task
from gancompress.training import Batch, Losses, Objective, Phase


class Pix2PixOptions(Options):
    """Loss weights of pix2pix.

    Attributes:
        gan: Form of the adversarial loss.
        lambda_gan: Weight of the adversarial loss.
        gan_balance: Bound of the adversarial term's gradient at the generated image, as a fraction of the
            reconstruction's; None, as published, keeps the weight constant.
        lambda_reconstruction: Weight of the mean absolute difference from the truth.
    """

    gan: GanForm = "hinge"
    lambda_gan: Weight = 1.0
    gan_balance: Annotated[float, Field(gt=0)] | None = None
    lambda_reconstruction: Weight = 100.0


class Pix2PixObjective(Objective):
    """Objective of pix2pix: the discriminator first, then the generator against the updated discriminator."""

    averaged = ("generator",)

    def __init__(self, task: Task, generator: nn.Module, discriminator: nn.Module, options: Pix2PixOptions) -> None:
        """Take the two networks to train.

        Args:
            task: A paired task.
            generator: Maps ``input`` to ``target``.
            discriminator: Takes both, concatenated along the channels.
            options: Weights of the terms.
        """
        self.task, self.options, self._gan = task, options, AdversarialLoss(options.gan)
        self.modules = {"generator": generator, "discriminator": discriminator}
        self.frozen = {}
        self.phases = (
            Phase("discriminator", ("discriminator",), self._discriminator_loss, discriminates=True),
            Phase("generator", ("generator",), self._generator_loss),
        )

    def forward(self, batch: Batch, num_images: int) -> Tensor:
        """Return the generated image."""
        return self.modules["generator"](batch["input"])

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return the input, the generated image and the ground truth."""
        return self.task.columns(batch, {"teacher": modules["generator"](batch["input"])})

    def _discriminator_loss(self, batch: Batch, image: Tensor) -> Losses:
        discriminator = self.modules["discriminator"]
        real = discriminator(self.task.real(batch))
        fake = discriminator(self.task.seen(batch, image.detach()))
        return {"gan": 0.5 * self._gan.discriminator(real, fake)}

    def _generator_loss(self, batch: Batch, image: Tensor) -> Losses:
        logits = self.modules["discriminator"](self.task.seen(batch, image))
        adversarial = self.options.lambda_gan * self._gan.generator(logits)
        reconstruction = self.options.lambda_reconstruction * (image - batch["target"]).abs().mean()
        if self.options.gan_balance is not None:
            balance = balance_gradients(adversarial, reconstruction, image, self.options.gan_balance)
            adversarial = adversarial if balance is None else balance.term
        return {"gan": adversarial, "reconstruction": reconstruction}
