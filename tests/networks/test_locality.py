"""Receptive fields of networks against those that their layers add up to, and networks that have none."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.networks import locality
from gancompress.networks.input_rule import InputRule
from gancompress.networks.locality import Locality, measure_locality
from gancompress.networks.registry import build


class Function(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def window_attention(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    windows = x.view(b, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 3, 5, 1).reshape(-1, 64, c)
    mixed = F.scaled_dot_product_attention(windows, windows, windows)
    return mixed.view(b, h // 8, w // 8, 8, 8, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)


def attention(x: Tensor) -> Tensor:
    pixels = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(pixels, pixels, pixels).transpose(1, 2).reshape(x.shape)


def conv(channels: int, kernel: int, **options) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, padding=options.get("dilation", 1) * (kernel // 2), **options)


LOCAL = {
    "a pixel": (Function(torch.tanh), Locality(0, 1, Fraction(1))),
    "7x7 and 3x3": (
        nn.Sequential(conv(3, 7, padding_mode="reflect"), nn.ReLU(), conv(3, 3)),
        Locality(4, 1, Fraction(1)),
    ),
    "dilated": (conv(3, 3, dilation=3, groups=3), Locality(3, 1, Fraction(1))),
    "x4": (build("srvggnet_compact", {"nf": 4, "num_conv": 3}), Locality(5, 1, Fraction(4))),
    "unshuffle": (nn.Sequential(nn.PixelUnshuffle(2), conv(12, 3), nn.PixelShuffle(2)), Locality(2, 2, Fraction(1))),
    "strided": (
        nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 4, 2, 1)),
        Locality(4, 2, Fraction(1)),
    ),
    "a half": (nn.AvgPool2d(2), Locality(0, 2, Fraction(1, 2))),
    "windows": (Function(window_attention), Locality(0, 8, Fraction(1))),
}
NOT_LOCAL = {
    "instance norm": nn.Sequential(conv(3, 3), nn.InstanceNorm2d(3)),
    "squeeze and excite": Function(lambda x: x * x.mean((2, 3), keepdim=True)),
    "attention": Function(attention),
    "a position": Function(lambda x: x + torch.linspace(0, 1, x.shape[2])[:, None]),
    "a vector": Function(lambda x: x.mean((2, 3))),
}


@pytest.mark.parametrize("name", LOCAL)
def test_the_receptive_field_of_local_networks(name):
    network, expected = LOCAL[name]
    found = measure_locality(network.eval(), 3)
    assert found is not None
    assert (found.overlap_px, found.multiple_px, found.scale) == (
        expected.overlap_px,
        expected.multiple_px,
        expected.scale,
    )
    assert Locality.from_description(found.describe()) == found


@pytest.mark.parametrize("name", NOT_LOCAL)
def test_networks_that_are_not_local(name):
    assert measure_locality(NOT_LOCAL[name].eval(), 3) is None


def test_long_strips_of_large_networks_are_probed_one_at_a_time(monkeypatch):
    """Memory is known from the shorter strip, which the receptive field is larger than."""
    network, seen = nn.Sequential(conv(3, 3), *(conv(3, 3, dilation=16) for _ in range(3))), []
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[:3]))
    expected = measure_locality(network, 3)
    assert {tuple(shape) for shape in seen} >= {(2, 3, 64), (2, 3, 256)}
    seen.clear()
    monkeypatch.setattr(locality, "_MOST_BYTES_AT_ONCE", 1)
    assert measure_locality(network, 3) == expected
    assert {shape[0] for shape in seen if shape[2] == 256} == {1}


def test_tiles_keep_to_the_sides_that_a_network_takes():
    found = measure_locality(conv(3, 3).eval(), 3, InputRule(multiple=6, minimum=20))
    assert found is not None
    assert (found.overlap_px, found.multiple_px) == (6, 6)
    for broken in (None, {}, {"overlap_px": -1, "multiple_px": 1, "scale": [1, 1]}, {"scale": [1, 0]}):
        with pytest.raises(ValueError, match=r"^"):
            Locality.from_description(broken)
