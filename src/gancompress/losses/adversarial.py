"""Adversarial losses of a generator and its discriminator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.losses.term import Networks, Term, TermOptions, register_term
from gancompress.perception.precision import full_precision
from gancompress.registry import Registry

Logits = Tensor | Sequence[Tensor] | Sequence[Sequence[Tensor]]
"""One map of logits, one per scale, or the feature maps of each scale with its logits last."""

Formula = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Formulas:
    """The formulas of one adversarial loss, each from a map of logits of any shape to a scalar.

    Attributes:
        on_real: Discriminator loss on real logits.
        on_fake: Discriminator loss on fake logits.
        for_generator: Generator loss on fake logits.
        boundary: Logit above which an image counts as real; None for losses without such a value.
    """

    on_real: Formula
    on_fake: Formula
    for_generator: Formula
    boundary: float | None = 0.0


def _minus_mean(logits: Tensor) -> Tensor:
    return -logits.mean()


HINGE = Formulas(lambda x: (1 - x).relu().mean(), lambda x: (1 + x).relu().mean(), _minus_mean)
"""Lim and Ye, Geometric GAN, 2017, eq. 18-20; Miyato et al., Spectral Normalization, ICLR 2018, eq. 16-17."""

LSGAN = Formulas(lambda x: (x - 1).square().mean(), lambda x: x.square().mean(), lambda x: (x - 1).square().mean(), 0.5)
"""Mao et al., Least Squares GAN, ICCV 2017, eq. 9 (labels 1 and 0), without the factors 1/2."""

VANILLA = Formulas(lambda x: F.softplus(-x).mean(), lambda x: F.softplus(x).mean(), lambda x: F.softplus(-x).mean())
"""Goodfellow et al., GAN, NeurIPS 2014, eq. 1, with the non-saturating generator loss of section 3."""

WGAN = Formulas(_minus_mean, lambda x: x.mean(), _minus_mean, None)
"""Arjovsky et al., Wasserstein GAN, ICML 2017, eq. 2-3; the caller keeps the critic Lipschitz."""

ADVERSARIAL: Registry[Formulas] = Registry("adversarial", "a known one", values=Formulas)
"""Every adversarial loss by its name."""

for _name, _formulas in {"hinge": HINGE, "lsgan": LSGAN, "vanilla": VANILLA, "wgan": WGAN}.items():
    ADVERSARIAL.register(_name)(_formulas)

GanForm = Annotated[str, AfterValidator(ADVERSARIAL.known)]
"""Form of the adversarial loss: a name in `ADVERSARIAL`, or the import path of `Formulas`."""


class AdversarialLoss:
    """An adversarial loss by name, for discriminators with one output or one per scale, of which it takes the mean."""

    def __init__(self, name: str) -> None:
        """Choose the loss.

        Args:
            name: A name in `ADVERSARIAL`.

        Raises:
            ConfigError: There is no such loss.
        """
        self.name = name
        self.formulas = ADVERSARIAL.find(name, "adversarial loss")

    def on_real(self, logits: Logits) -> Tensor:
        """Return the discriminator's loss on real logits."""
        return self._over_scales(self.formulas.on_real, logits)

    def on_fake(self, logits: Logits) -> Tensor:
        """Return the discriminator's loss on fake logits."""
        return self._over_scales(self.formulas.on_fake, logits)

    def discriminator(self, real: Logits, fake: Logits) -> Tensor:
        """Return the discriminator's loss, the sum of both. CycleGAN and pix2pix halve it, SPADE does not."""
        return self.on_real(real) + self.on_fake(fake)

    def generator(self, fake: Logits) -> Tensor:
        """Return the generator's loss on fake logits."""
        return self._over_scales(self.formulas.for_generator, fake)

    @torch.no_grad()
    def accuracy(self, real: Logits, fake: Logits) -> Tensor | None:
        """Return the share of logits on the right side of the boundary, a scalar in [0, 1]; None without a boundary."""
        boundary = self.formulas.boundary
        if boundary is None:
            return None
        right = [
            self._over_scales(lambda x: (x > boundary).float().mean(), real),
            self._over_scales(lambda x: (x <= boundary).float().mean(), fake),
        ]
        return torch.stack(right).mean()

    def _over_scales(self, formula: Formula, logits: Logits) -> Tensor:
        formula = full_precision(formula)
        if isinstance(logits, Tensor):
            return formula(logits)
        if not logits:
            raise ConfigError("adversarial loss: got no logits, expected at least one map; check the discriminator")
        terms = torch.stack([formula(scale if isinstance(scale, Tensor) else scale[-1]) for scale in logits])
        return terms.mean()


@register_term
class Adversarial(TermOptions):
    """Adversarial loss against a discriminator that is trained with the student.

    Attributes:
        form: Form of the loss.
        balance: Bound of the gradient's norm at the student's image, as a fraction of that of the other terms; the
            weight is lowered while the gradient is larger. Smaller ones give a student that is nearer to its target and
            softer. None leaves the weight unchanged: a discriminator that wins then undoes the progress of the other
            terms.
        real: Images that the discriminator learns as real: the data's (``target``), the teacher's (``teacher``), both,
            half each, or the data's if it has some and else the teacher's (``auto``).
    """

    kind = "gan"
    compares = "logits"

    form: GanForm = "hinge"
    balance: Annotated[float, Field(gt=0)] | None = 1
    real: Literal["auto", "target", "teacher", "both"] = "auto"

    def build(self, networks: Networks) -> Term:
        """Return the generator's adversarial loss."""
        loss = AdversarialLoss(self.form)
        return Term(lambda c: loss.generator(c.logits))
