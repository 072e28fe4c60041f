"""SNGAN: training of a teacher that generates images from noise.

Source: Miyato et al., Spectral Normalization for GANs, ICLR 2018, section 4 and appendix B.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.losses import Adversarial, Comparison, TermOptions
from gancompress.options import Options
from gancompress.tasks.task import Task
from gancompress.tasks.teacher_terms import TeacherTerms
from gancompress.training import Batch, Losses, Objective, Phase

Count = Annotated[int, Field(ge=1)]


SNGAN_TERMS = (Adversarial(1, balance=None),)
"""Default terms of SNGAN."""


class SnganOptions(Options):
    """Numbers of updates of SNGAN.

    Attributes:
        num_critic: Updates of the discriminator for one of the generator. A training step has this many updates, each
            on an equal part of the batch, and then one of the generator: ``batch_size`` counts the real images of all.
        generator_parts: Parts of the batch in the generator's update, at most all of them.
    """

    num_critic: Count = 5
    generator_parts: Count = 2


class SnganObjective(Objective):
    """Objective of SNGAN: several discriminator updates on different images, then the generator update."""

    averaged = ("generator",)

    def __init__(
        self,
        task: Task,
        generator: nn.Module,
        discriminator: nn.Module,
        terms: Sequence[TermOptions],
        image: Tensor,
        options: SnganOptions,
    ) -> None:
        """Take the two networks to train.

        Args:
            task: The latent task.
            generator: Maps ``input`` to images.
            discriminator: Takes the task's discriminator input; spectrally normalised, for stable training.
            terms: The loss terms.
            image: Any image of the generator, [1, c, h, w].
            options: Numbers of updates.

        Raises:
            ConfigError: A term does not fit the objective or the image, or none is adversarial.
            CheckpointError: A network that a term needs cannot be found or read.
        """
        self.task, self.options = task, options
        self._terms = TeacherTerms(terms, image, ("logits", "nothing"), adversarial=True)
        self.modules = {"generator": generator, "discriminator": discriminator, **self._terms.learned}
        self.frozen = self._terms.frozen
        # Phases of one name share an optimizer.
        updates = [partial(self._discriminator_loss, part=part) for part in range(options.num_critic)]
        self.phases = (
            *(Phase("discriminator", ("discriminator",), update, discriminates=True) for update in updates),
            Phase("generator", ("generator", *self._terms.learned), self._generator_loss),
        )

    def forward(self, batch: Batch, num_images: int) -> Tensor:
        """Generate the images of all parts; gradients reach the generator through those of its own update only.

        Raises:
            ConfigError: The batch has no equal parts.
        """
        generator, latent = self.modules["generator"], batch["input"]
        if len(latent) % self.options.num_critic:
            raise ConfigError(
                f"batch_size: got {len(latent)} images for each process, expected a multiple of num_critic "
                f"({self.options.num_critic}): every update of the discriminator sees an equal part"
            )
        learning = self._num_learning(latent)
        images = generator(latent[:learning])
        if learning == len(latent):
            return images
        with torch.no_grad():
            others = generator(latent[learning:])
        return torch.cat([images, others])

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return generated images."""
        return self.task.columns(batch, {"teacher": modules["generator"](batch["input"])})

    def _num_learning(self, latent: Tensor) -> int:
        """Return the number of images of a batch in the generator's update."""
        o = self.options
        return len(latent) // o.num_critic * min(o.generator_parts, o.num_critic)

    def _discriminator_loss(self, batch: Batch, images: Tensor, part: int) -> Losses:
        size = len(images) // self.options.num_critic
        shown = _rows(batch, slice(part * size, (part + 1) * size))
        discriminator = self.modules["discriminator"]
        real = discriminator(self.task.real(shown))
        fake = discriminator(self.task.seen(shown, images[part * size : (part + 1) * size].detach()))
        assert self._terms.gan is not None
        return {"gan": self._terms.gan.discriminator(real, fake)}

    def _generator_loss(self, batch: Batch, images: Tensor) -> Losses:
        learning = slice(self._num_learning(images))
        shown, image = _rows(batch, learning), images[learning]
        logits = self.modules["discriminator"](self.task.seen(shown, image))
        return self._terms.losses(Comparison(image, shown["target"], logits=logits))


def _rows(batch: Batch, rows: slice) -> dict[str, Any]:
    """Return a slice of a batch."""
    return {key: value[rows] for key, value in batch.items()}
