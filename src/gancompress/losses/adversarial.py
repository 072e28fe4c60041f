"""What a generator and a discriminator play against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    """The terms of one adversarial loss, each from a map of logits of any shape to a scalar.

    Attributes:
        on_real: Discriminator loss on real logits.
        on_fake: Discriminator loss on fake logits.
        for_generator: Generator loss on fake logits.
        boundary: The logit above which an image is taken for real; None where logits have no such value.
    """

    on_real: Term
    on_fake: Term
    for_generator: Term
    boundary: float | None = 0.0


def _minus_mean(logits: Tensor) -> Tensor:
    return -logits.mean()


HINGE = Game(lambda x: (1 - x).relu().mean(), lambda x: (1 + x).relu().mean(), _minus_mean)
"""Lim and Ye, Geometric GAN, 2017, eq. 18-20; Miyato et al., Spectral Normalization, ICLR 2018, eq. 16-17."""

LSGAN = Game(lambda x: (x - 1).square().mean(), lambda x: x.square().mean(), lambda x: (x - 1).square().mean(), 0.5)
"""Mao et al., Least Squares GAN, ICCV 2017, eq. 9 (labels 1 and 0), without the factors 1/2."""

VANILLA = Game(lambda x: F.softplus(-x).mean(), lambda x: F.softplus(x).mean(), lambda x: F.softplus(-x).mean())
"""Goodfellow et al., GAN, NeurIPS 2014, eq. 1, with the non-saturating generator loss of section 3."""

WGAN = Game(_minus_mean, lambda x: x.mean(), _minus_mean, None)
"""Arjovsky et al., Wasserstein GAN, ICML 2017, eq. 2-3; the caller keeps the critic Lipschitz."""

ADVERSARIAL: dict[str, Game] = {"hinge": HINGE, "lsgan": LSGAN, "vanilla": VANILLA, "wgan": WGAN}


class AdversarialLoss:
    """An adversarial loss by name, for discriminators with one output or one per scale, of which it takes the mean."""

    def __init__(self, name: str) -> None:
        """Choose the loss.

        Args:
            name: A name in `ADVERSARIAL`.

        Raises:
            ConfigError: There is no such loss.
        """
        if name not in ADVERSARIAL:
            raise ConfigError(f"adversarial loss: got '{name}', expected a known one; {nearest(name, ADVERSARIAL)}")
        self.name = name
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

    @torch.no_grad()
    def accuracy(self, real: Logits, fake: Logits) -> Tensor | None:
        """Return the share of logits on the right side, a scalar in [0, 1]; None for losses without two sides."""
        boundary = self.game.boundary
        if boundary is None:
            return None
        right = [
            self._over_scales(lambda x: (x > boundary).float().mean(), real),
            self._over_scales(lambda x: (x <= boundary).float().mean(), fake),
        ]
        return torch.stack(right).mean()

    def _over_scales(self, term: Term, logits: Logits) -> Tensor:
        term = full_precision(term)
        if isinstance(logits, Tensor):
            return term(logits)
        if not logits:
            raise ConfigError("adversarial loss: got no logits, expected at least one map; check the discriminator")
        terms = torch.stack([term(scale if isinstance(scale, Tensor) else scale[-1]) for scale in logits])
        return terms.mean()
