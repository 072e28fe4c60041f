"""GauGAN: training of a teacher that generates photographs from label maps.

Source: Park et al., SPADE, CVPR 2019, section 3 and appendix A; the order of updates as released.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gancompress.losses import Adversarial, Comparison, FeatureMatching, Perceptual
from gancompress.networks.given import one_tensor
from gancompress.tasks.paired_objective import PairedObjective
from gancompress.training import Batch, Losses

GAUGAN_TERMS = (Adversarial(1, balance=None), FeatureMatching(10), Perceptual(10, published="spade"))
"""Default terms of GauGAN."""


class GauganObjective(PairedObjective):
    """Objective of GauGAN: the generator first, then the discriminator on the updated generator's images."""

    discriminator_first = False

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
