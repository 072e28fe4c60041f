"""CycleGAN: training of two teachers without pairs.

Source: Zhu et al., CycleGAN, ICCV 2017, section 3; identity loss section 5.2; image pool section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.losses import Adversarial, Comparison, Cycle, Identity, TermOptions
from gancompress.options import Options
from gancompress.tasks.task import Task
from gancompress.tasks.teacher_terms import TeacherTerms
from gancompress.training import Batch, Losses, Objective, Phase

CYCLEGAN_TERMS = (Adversarial(1, form="lsgan", balance=None), Cycle(10), Identity(5))
"""Default terms of CycleGAN, each for both directions."""


class CycleGanOptions(Options):
    """Image pools of CycleGAN.

    Attributes:
        pool_size: Capacity of the pools of generated images from which the discriminators are shown earlier ones.
    """

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
    """Images of one batch translated to the other domain and, if a term compares them, back again."""

    fake_b: Tensor
    fake_a: Tensor
    again_a: Tensor | None
    again_b: Tensor | None


class CycleGanObjective(Objective):
    """Objective of CycleGAN: both generators first, then both discriminators on images from the pools.

    Every term is computed for both directions. Terms that compare images compare a translation with its input.
    """

    averaged = ("generator", "generator_back")

    def __init__(
        self,
        task: Task,
        networks: Mapping[str, nn.Module],
        terms: Sequence[TermOptions],
        image: Tensor,
        options: CycleGanOptions,
    ) -> None:
        """Take the four networks to train.

        Args:
            task: An unpaired task.
            networks: ``generator`` from A (``input``) to B (``target``), ``generator_back`` from B to A,
                ``discriminator`` of B and ``discriminator_back`` of A.
            terms: The loss terms.
            image: Any image of the generator, [1, c, h, w].
            options: Image pools.

        Raises:
            ConfigError: A term does not fit the objective or the image, or none is adversarial.
            CheckpointError: A network that a term needs cannot be found or read.
        """
        known = ("images", "logits", "cycle", "identity", "nothing")
        self.task, self._terms = task, TeacherTerms(terms, image, known, adversarial=True)
        self.modules = {**networks, **self._terms.learned}
        self.frozen = self._terms.frozen
        self._pools = {"b": ImagePool(options.pool_size), "a": ImagePool(options.pool_size)}
        generators = ("generator", "generator_back", *self._terms.learned)
        discriminators = ("discriminator", "discriminator_back")
        self.phases = (
            Phase("generator", generators, self._generator_loss),
            Phase("discriminator", discriminators, self._discriminator_loss, discriminates=True),
        )

    def forward(self, batch: Batch, num_images: int) -> _Round:
        """Translate both images and, if a term compares them, translate them back."""
        there, back = self.modules["generator"], self.modules["generator_back"]
        fake_b, fake_a = there(batch["input"]), back(batch["target"])
        if "cycle" not in self._terms.compares:
            return _Round(fake_b, fake_a, None, None)
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
        real_a, real_b = batch["input"], batch["target"]
        there = Comparison(made.fake_b, real_a, logits=self.modules["discriminator"](made.fake_b))
        back = Comparison(made.fake_a, real_b, logits=self.modules["discriminator_back"](made.fake_a))
        others_there, others_back = dict[str, Comparison](), dict[str, Comparison]()
        if made.again_a is not None and made.again_b is not None:
            others_there["cycle"] = Comparison(made.again_a, real_a)
            others_back["cycle"] = Comparison(made.again_b, real_b)
        if "identity" in self._terms.compares:
            others_there["identity"] = Comparison(self.modules["generator"](real_b), real_b)
            others_back["identity"] = Comparison(self.modules["generator_back"](real_a), real_a)
        losses, losses_back = self._terms.losses(there, **others_there), self._terms.losses(back, **others_back)
        return {f"{name}{way}": each[name] for name in losses for way, each in (("", losses), ("_back", losses_back))}

    def _discriminator_loss(self, batch: Batch, made: _Round) -> Losses:
        def loss(name: str, real: Tensor, fake: Tensor) -> Tensor:
            assert self._terms.gan is not None
            discriminator = self.modules[name]
            return 0.5 * self._terms.gan.discriminator(discriminator(real), discriminator(fake))

        return {
            "gan": loss("discriminator", batch["target"], self._pools["b"].exchange(made.fake_b)),
            "gan_back": loss("discriminator_back", batch["input"], self._pools["a"].exchange(made.fake_a)),
        }
