"""Pix2pix: training of a teacher from pairs.

Source: Isola et al., pix2pix, CVPR 2017, section 3.1; hinge loss and weights: Li et al., GAN Compression, CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from gancompress.losses import L1, Adversarial, Comparison, TermOptions
from gancompress.tasks.gaugan import in_one_batch
from gancompress.tasks.task import Task
from gancompress.tasks.teacher_terms import TeacherTerms
from gancompress.training import Batch, Losses, Objective, Phase

PIX2PIX_TERMS = (Adversarial(1, balance=None), L1(100))
"""Default terms of pix2pix."""


class Pix2PixObjective(Objective):
    """Objective of pix2pix: the discriminator first, then the generator against the updated discriminator."""

    averaged = ("generator",)

    def __init__(
        self, task: Task, generator: nn.Module, discriminator: nn.Module, terms: Sequence[TermOptions], image: Tensor
    ) -> None:
        """Take the two networks to train.

        Args:
            task: A paired task.
            generator: Maps ``input`` to ``target``.
            discriminator: Takes both, concatenated along the channels; not trained without an adversarial term.
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
            self.phases = (phase, *self.phases)

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
