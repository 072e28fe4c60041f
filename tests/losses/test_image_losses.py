from __future__ import annotations

import numpy as np
import pytest
import torch

from gancompress.errors import ConfigError
from gancompress.losses import RECONSTRUCTIONS, feature_matching, find_reconstruction, ssim_loss, total_variation
from gancompress.perception import ssim

X, Y = torch.rand(2, 2, 3, 12, 14) * 4 - 2


def plain_reconstruction(name: str) -> float:
    difference = np.abs((X - Y).numpy())
    huber = np.where(difference < 1, difference**2 / 2, difference - 0.5)
    return float({"l1": difference, "l2": difference**2, "smooth_l1": huber}[name].mean())


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
def test_reconstruction(name):
    loss = find_reconstruction(name)
    assert float(loss(X, Y)) == pytest.approx(plain_reconstruction(name), rel=1e-5)
    assert float((loss(X[:1], Y[:1]) + loss(X[1:], Y[1:])) / 2) == pytest.approx(float(loss(X, Y)), rel=1e-5)
    with pytest.raises(ConfigError, match=rf"{name}: got shapes \(2, 3, 12, 14\) and \(1, 3, 12, 14\)"):
        loss(X, Y[:1])


def test_unknown_reconstruction():
    with pytest.raises(ConfigError, match="reconstruction: got 'vgg'"):
        find_reconstruction("vgg")


def test_total_variation_does_not_depend_on_size_or_batch():
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    assert float(total_variation(ramp)) == 1.0
    assert float(total_variation(ramp.repeat(3, 1, 2, 1))) == 1.0
    checker = (torch.arange(6).view(-1, 1) + torch.arange(6)).remainder(2).float().view(1, 1, 6, 6)
    assert float(total_variation(checker)) == 2.0


def test_ssim_loss_is_of_images_in_zero_one():
    x, y = X.clamp(-1, 1), Y.clamp(-1, 1)
    assert float(ssim_loss(x, x)) == pytest.approx(0, abs=1e-6)
    assert float(ssim_loss(x, y)) == pytest.approx(1 - float(ssim(x / 2 + 0.5, y / 2 + 0.5).mean()))


def test_feature_matching():
    fake = [[X, X[:, :1], X[:, :1]], [Y, X, Y]]
    real = [[Y, Y[:, :1], 5 * Y[:, :1]], [X, Y, 5 * Y]]
    real[0][0] = Y.clone().requires_grad_(True)
    l1 = (X - Y).abs().mean() + (X - Y)[:, :1].abs().mean(), 2 * (X - Y).abs().mean()
    assert not feature_matching(fake, real).requires_grad
    assert float(feature_matching(fake, real)) == pytest.approx(float(sum(l1)) / 2, rel=1e-5)
    with pytest.raises(ConfigError, match=r"feature matching: got \[3, 3\] and \[3\] maps per scale"):
        feature_matching(fake, real[:1])
