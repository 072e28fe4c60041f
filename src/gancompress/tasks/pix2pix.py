"""Pix2pix: training of a teacher from pairs.

Source: Isola et al., pix2pix, CVPR 2017, section 3.1; hinge loss and weights: Li et al., GAN Compression, CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from gancompress.losses import L1, Adversarial, Comparison
from gancompress.tasks.gaugan import in_one_batch
from gancompress.tasks.paired_objective import PairedObjective
from gancompress.training import Batch, Losses

PIX2PIX_TERMS = (Adversarial(1, balance=None), L1(100))
"""Default terms of pix2pix."""


class Pix2PixObjective(PairedObjective):
    """Objective of pix2pix: the discriminator first, then the generator against the updated discriminator."""

    discriminator_first = True

    def forward(self, batch: Batch, num_images: int) -> Tensor:
        """Return the generated image."""
        return self.modules["generator"](batch["input"])

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return the input, the generated image and the ground truth."""
        return self.task.columns(batch, {"teacher": modules["generator"](batch["input"])})

    def _discriminator_loss(self, batch: Batch, image: Tensor) -> Losses:
        assert self._terms.gan is not None
        discriminator = self.modules["discriminator"]
        real = discriminator(self.task.real(batch))
        fake = discriminator(self.task.seen(batch, image.detach()))
        return {"gan": 0.5 * self._terms.gan.discriminator(real, fake)}

    def _generator_loss(self, batch: Batch, image: Tensor) -> Losses:
        logits, real_logits = None, None
        if self._terms.gan is not None:
            seen, discriminator = self.task.seen(batch, image), self.modules["discriminator"]
            if "discriminator_maps" in self._terms.compares:
                logits, real_logits = in_one_batch(discriminator, seen, self.task.real(batch))
            else:
                logits = discriminator(seen)
        return self._terms.losses(Comparison(image, batch["target"], logits=logits, real_logits=real_logits))
