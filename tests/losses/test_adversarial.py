from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.losses import ADVERSARIAL, AdversarialLoss

REAL = torch.tensor([[-2.0, 0.5], [1.0, 3.0]]).view(1, 1, 2, 2)
FAKE = torch.tensor([[-1.5, 0.0], [0.25, 2.0]]).view(1, 1, 2, 2)


def bce(logits: torch.Tensor, label: float) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def mse(logits: torch.Tensor, label: float) -> torch.Tensor:
    return F.mse_loss(logits, torch.full_like(logits, label))


EXPECTED = {
    "hinge": ((3 + 0.5 + 0 + 0) / 4 + (0 + 1 + 1.25 + 3) / 4, -(-1.5 + 0 + 0.25 + 2) / 4),
    "lsgan": (mse(REAL, 1) + mse(FAKE, 0), mse(FAKE, 1)),
    "vanilla": (bce(REAL, 1) + bce(FAKE, 0), bce(FAKE, 1)),
    "wgan": (FAKE.mean() - REAL.mean(), -FAKE.mean()),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_formulas(name):
    loss = AdversarialLoss(name)
    discriminator, generator = EXPECTED[name]
    assert float(loss.discriminator(REAL, FAKE)) == pytest.approx(float(discriminator))
    assert float(loss.generator(FAKE)) == pytest.approx(float(generator))


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_scales(name):
    maps = [FAKE, REAL[..., :1]]
    terms = [float(AdversarialLoss(name).generator(each)) for each in maps]
    assert float(AdversarialLoss(name).generator(maps)) == pytest.approx(sum(terms) / 2)
    with_features = [[torch.full((1, 8, 4, 4), 9.0), each] for each in maps]
    assert float(AdversarialLoss(name).generator(with_features)) == pytest.approx(sum(terms) / 2)


@pytest.mark.parametrize(("name", "expected"), [("hinge", (3 + 2) / 8), ("lsgan", (2 + 3) / 8), ("wgan", None)])
def test_accuracy_counts_logits_on_the_right_side(name, expected):
    found = AdversarialLoss(name).accuracy(REAL, FAKE)
    assert found is None if expected is None else float(found) == pytest.approx(expected)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_batch_is_the_mean_of_its_halves(name):
    loss = AdversarialLoss(name)
    halves = (loss.discriminator(REAL, FAKE) + loss.discriminator(FAKE, REAL)) / 2
    assert torch.allclose(loss.discriminator(torch.cat([REAL, FAKE]), torch.cat([FAKE, REAL])), halves)


def test_errors():
    with pytest.raises(ConfigError, match=r"got 'hing', expected a known one; did you mean 'hinge'\?"):
        AdversarialLoss("hing")
    with pytest.raises(ConfigError, match="got no logits"):
        AdversarialLoss("hinge").generator([])
