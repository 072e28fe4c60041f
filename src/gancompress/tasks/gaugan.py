"""GauGAN: training of a teacher that generates photographs from label maps.

Source: Park et al., SPADE, CVPR 2019, section 3 and appendix A; the order of updates as released.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gancompress.losses import Adversarial, Comparison, FeatureMatching, Perceptual, TermOptions
from gancompress.networks.given import one_tensor
from gancompress.tasks.task import Task
from gancompress.tasks.teacher_terms import TeacherTerms
from gancompress.training import Batch, Losses, Objective, Phase

GAUGAN_TERMS = (Adversarial(1, balance=None), FeatureMatching(10), Perceptual(10, published="spade"))
"""Default terms of GauGAN."""


class GauganObjective(Objective):
    """Objective of GauGAN: the generator first, then the discriminator on the updated generator's images."""

    averaged = ("generator",)

    def __init__(
        self, task: Task, generator: nn.Module, discriminator: nn.Module, terms: Sequence[TermOptions], image: Tensor
    ) -> None:
        """Take the two networks to train.

        Args:
            task: A paired task.
            generator: Maps the task's encoded input to images.
            discriminator: Takes the task's discriminator input; returns the feature maps of each scale if they are
                compared. Not trained without an adversarial term.
            terms: The loss terms.
            image: Any image of the generator, [1, c, h, w].

        Raises:
            ConfigError: A term does not fit the objective or the image.
            CheckpointError: A network that a term needs cannot be found or read.
        """
        self.task = task
        self._terms = TeacherTerms(terms, image, ("images", "logits", "discriminator_maps", "nothing"))
        self.modules = {"generator": generator, **self._terms.learned}
        self.frozen = self._terms.frozen
        self.phases = (Phase("generator", tuple(self.modules), self._generator_loss),)
        if self._terms.gan is not None:
            self.modules["discriminator"] = discriminator
            phase = Phase("discriminator", ("discriminator",), self._discriminator_loss, discriminates=True)
            self.phases = (*self.phases, phase)

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
        image = self.modules["generator"](given)
        fake, real = (None, None) if self._terms.gan is None else self._discriminator_outputs(batch, image)
        return self._terms.losses(Comparison(image, batch["target"], logits=fake, real_logits=real))

    def _discriminator_loss(self, batch: Batch, given: Tensor) -> Losses:
        assert self._terms.gan is not None
        with torch.no_grad():
            image = self.modules["generator"](given)
        fake, real = self._discriminator_outputs(batch, image)
        return {"gan": self._terms.gan.discriminator(real, fake)}


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
