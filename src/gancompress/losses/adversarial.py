"""What a generator and a discriminator play against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import ConfigError, nearest
from gancompress.models.trunks.precision import full_precision

Logits = Tensor | Sequence[Tensor] | Sequence[Sequence[Tensor]]
"""One map of logits, one per scale, or the feature maps of each scale with its logits last."""

Term = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Game:
    """The terms of one adversarial loss, each from a map of logits of any shape to a scalar."""

    on_real: Term
    on_fake: Term
    for_generator: Term


def _minus_mean(logits: Tensor) -> Tensor:
    return -logits.mean()


HINGE = Game(lambda x: (1 - x).relu().mean(), lambda x: (1 + x).relu().mean(), _minus_mean)
"""Lim and Ye, Geometric GAN, 2017, eq. 18-20; Miyato et al., Spectral Normalization, ICLR 2018, eq. 16-17."""

LSGAN = Game(lambda x: (x - 1).square().mean(), lambda x: x.square().mean(), lambda x: (x - 1).square().mean())
"""Mao et al., Least Squares GAN, ICCV 2017, eq. 9 (labels 1 and 0), without the factors 1/2."""

VANILLA = Game(lambda x: F.softplus(-x).mean(), lambda x: F.softplus(x).mean(), lambda x: F.softplus(-x).mean())
"""Goodfellow et al., GAN, NeurIPS 2014, eq. 1, with the non-saturating generator loss of section 3."""

WGAN = Game(_minus_mean, lambda x: x.mean(), _minus_mean)
"""Arjovsky et al., Wasserstein GAN, ICML 2017, eq. 2-3; the caller keeps the critic Lipschitz."""

ADVERSARIAL: dict[str, Game] = {"hinge": HINGE, "lsgan": LSGAN, "vanilla": VANILLA, "wgan": WGAN}


class AdversarialLoss:
    """An adversarial loss by name, for discriminators with one output or one per scale."""

    def __init__(self, name: str, over_scales: Literal["mean", "sum"] = "mean") -> None:
        """Chooses the loss.

        Args:
            name: A name in `ADVERSARIAL`.
            over_scales: How the scales of a multiscale discriminator combine: SPADE takes their mean, MUNIT their sum.

        Raises:
            ConfigError: There is no such loss, or no such combination.
        """
        if name not in ADVERSARIAL:
            raise ConfigError(f"adversarial loss: got '{name}', expected a known one; {nearest(name, ADVERSARIAL)}")
        if over_scales not in ("mean", "sum"):
            raise ConfigError(
                f"adversarial loss: got over_scales '{over_scales}', expected 'mean' or 'sum'; choose one"
            )
        self.name = name
        self.over_scales = over_scales
        self.game = ADVERSARIAL[name]

    def on_real(self, logits: Logits) -> Tensor:
        """What the discriminator pays for its logits of real images."""
        return self._over_scales(self.game.on_real, logits)

    def on_fake(self, logits: Logits) -> Tensor:
        """What the discriminator pays for its logits of generated images."""
        return self._over_scales(self.game.on_fake, logits)

    def discriminator(self, real: Logits, fake: Logits) -> Tensor:
        """The discriminator's loss: the sum of both. CycleGAN and pix2pix halve it, SPADE does not."""
        return self.on_real(real) + self.on_fake(fake)

    def generator(self, fake: Logits) -> Tensor:
        """What the generator pays for the discriminator's logits of its images."""
        return self._over_scales(self.game.for_generator, fake)

    def _over_scales(self, term: Term, logits: Logits) -> Tensor:
        term = full_precision(term)
        if isinstance(logits, Tensor):
            return term(logits)
        if not logits:
            raise ConfigError("adversarial loss: got no logits, expected at least one map; check the discriminator")
        terms = torch.stack([term(scale if isinstance(scale, Tensor) else scale[-1]) for scale in logits])
        return terms.mean() if self.over_scales == "mean" else terms.sum()
