from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from gancompress.errors import ConfigError
from gancompress.losses import PERCEPTUAL, PerceptualLoss, PerceptualSettings, load_perceptual_loss
from gancompress.losses.perceptual import gram
from gancompress.perception.load import TRUNKS
from gancompress.perception.trunk import FeatureTrunk


class Pyramid(nn.Module):
    """Two maps of plain arithmetic."""

    def forward(self, images):
        return [images * 2, images[:, :2, ::2, ::2] ** 2]


SETTINGS = PerceptualSettings("pyramid", None, content=(3.0, 0.0), style=(0.5, 2.0), style_distance="l1")
X, Y = torch.rand(2, 2, 3, 8, 8) * 2 - 1


def plain_gram(features: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bchw,bdhw->bcd", features, features) / features[0].numel()


@pytest.mark.parametrize("input_range", ["[0, 1]", "[-1, 1]"])
def test_equals_the_plain_formula(input_range):
    loss = PerceptualLoss(Pyramid(), replace(SETTINGS, input_range=input_range))
    x, y = (each / 2 + 0.5 if input_range == "[0, 1]" else each for each in (X, Y))
    a, b = Pyramid()(x), Pyramid()(y)
    content = 3 * (a[0] - b[0]).abs().mean()
    style = sum(w * (plain_gram(p) - plain_gram(q)).abs().mean() for w, p, q in zip((0.5, 2), a, b, strict=True))
    terms = loss.terms(X, Y)
    assert torch.allclose(terms["content"], content)
    assert torch.allclose(terms["style"], torch.as_tensor(style))
    assert torch.allclose(loss(X, Y), content + style)
    assert float(loss(X, X)) == 0


def test_gram():
    assert torch.allclose(gram(X), plain_gram(X))


def test_gradient_reaches_images_only():
    trunk = FeatureTrunk(*TRUNKS["vgg16"](), taps=["relu1_2"])
    loss = PerceptualLoss(trunk, replace(SETTINGS, content=(1.0,), style=(1.0,))).train()
    images, targets = X.clone().requires_grad_(True), Y.clone().requires_grad_(True)
    loss(images, targets).backward()
    assert images.grad is not None
    assert targets.grad is None
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert not trunk.training


@pytest.mark.parametrize("name", PERCEPTUAL)
def test_published_settings_fit_their_trunks(name, tmp_path):
    settings = PERCEPTUAL[name]
    assert settings.taps is not None
    trunk = FeatureTrunk(*TRUNKS[settings.trunk](), taps=settings.taps)
    torch.save(trunk.state_dict(), tmp_path / "trunk.pth")
    loss = load_perceptual_loss(name, tmp_path / "trunk.pth")
    assert loss.trunk.tap_names == settings.taps
    assert loss.trunk.normalize is False
    assert float(loss(X.repeat(1, 1, 2, 2), Y.repeat(1, 1, 2, 2))) > 0


def test_over_a_network_given_as_a_file(shared_data):
    path = shared_data / "nets" / "squeezenet10_taps.ts.pt"
    settings = PerceptualSettings(str(path), None, content=(0, 1, 0, 0, 0), style=(1e4,) * 5, style_distance="l1")
    loss = load_perceptual_loss(settings)
    images = torch.zeros(1, 3, 64, 64, requires_grad=True)
    loss(images, torch.rand(1, 3, 64, 64)).backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_errors():
    with pytest.raises(ConfigError, match=r"got 'omg', expected a known one; did you mean 'omgd'\?"):
        load_perceptual_loss("omg")
    with pytest.raises(ConfigError, match="one of each per tap"):
        PerceptualLoss(Pyramid(), replace(SETTINGS, content=(1.0,)))
    with pytest.raises(ConfigError, match="one that is not 0"):
        PerceptualLoss(Pyramid(), replace(SETTINGS, content=(0, 0), style=(0, 0)))
    with pytest.raises(ConfigError, match="got 2 feature maps from pyramid for 1 weights"):
        PerceptualLoss(Pyramid(), replace(SETTINGS, content=(1.0,), style=(0,)))(X, Y)
    onnx = Pyramid()
    onnx.differentiable = False
    with pytest.raises(ConfigError, match="passes no gradient"):
        PerceptualLoss(onnx, SETTINGS)
