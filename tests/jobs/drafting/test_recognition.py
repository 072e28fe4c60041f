"""Recognition of networks by running them."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.jobs.drafting.recognition import recognise, with_range
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import Images
from gancompress.networks.registry import build


class Unet(nn.Module):
    """Two halvings with a skip: sides divisible by 4."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(4, 4, 4, 2, 1), nn.ConvTranspose2d(8, 3, 4, 2, 1)])

    def forward(self, x: Tensor) -> Tensor:
        first = self.down[0](x)
        return self.up[1](torch.cat([first, self.up[0](self.down[1](first))], 1))


class OneSize(nn.Module):
    """A network whose sizes are written in its code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).view(-1, 3 * 128 * 128).view(-1, 3, 128, 128)


class ReadsValues(nn.Module):
    """A network that cannot run without values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if float(x.sum()) > 1e9 else self.conv(x) + 1


class Made(nn.Module):
    """Returns a function of its input."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function, self.factor = function, nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.factor * x)


class Scaled(nn.Module):
    """Returns its input times a factor plus an offset."""

    def __init__(self, factor: float, offset: float) -> None:
        super().__init__()
        self.factor, self.offset = nn.Parameter(torch.tensor(factor)), nn.Parameter(torch.tensor(offset))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x + self.offset


def enlarging(scale: int, channels: int = 3) -> nn.Module:
    """An upscaler by pixel shuffle."""
    return nn.Sequential(nn.Conv2d(channels, channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))


def shrinking() -> nn.Module:
    """A network whose output is half as large."""
    return nn.Conv2d(3, 3, 4, 2, 1)


NETWORKS = {
    "plain": (lambda: nn.Conv2d(3, 3, 3, padding=1), (3, 3, Fraction(1), 1, None)),
    "grey": (lambda: nn.Conv2d(1, 1, 3, padding=1), (1, 1, Fraction(1), 1, None)),
    "grey to colour": (lambda: nn.Conv2d(1, 3, 3, padding=1), (1, 3, Fraction(1), 1, None)),
    "upscaler": (lambda: enlarging(4), (3, 3, Fraction(4), 1, None)),
    "half size": (shrinking, (3, 3, Fraction(1, 2), 2, None)),
    "skips": (Unet, (3, 3, Fraction(1), 4, None)),
    "one size": (OneSize, (3, 3, Fraction(1), 128, 128)),
    "decides by values": (ReadsValues, (3, 3, Fraction(1), 1, None)),
}


@pytest.mark.parametrize(("make", "expected"), NETWORKS.values(), ids=NETWORKS)
def test_channels_scale_and_sizes_are_found(make, expected):
    found = recognise(Generator.from_module(make()))
    assert (found.channels, found.out_channels, found.scale, found.multiple, found.fixed_side) == expected


def test_a_family_says_its_range_and_sizes():
    config = {"ngf": 4, "num_blocks": 1}
    found = recognise(Generator.from_module(build("resnet", config), "resnet", config))
    assert (found.name, found.multiple, str(found.images)) == ("resnet", 4, "-1..1")


def test_noise_and_other_inputs_are_refused():
    config = {"ngf": 4}
    with pytest.raises(ConfigError, match=r"sngan_32: got a generator that draws images from noise.*write a recipe"):
        recognise(Generator.from_module(build("sngan_32", config), "sngan_32", config))
    with pytest.raises(ConfigError, match=r"Made: got an error .*it returned int without a tensor"):
        recognise(Generator.from_module(Made(len)))
    with pytest.raises(ConfigError, match=r"Conv1d: got an error for images of 3 or 1 or 4 or 2 channels \(RuntimeErr"):
        recognise(Generator.from_module(nn.Conv1d(80, 1, 3)))


def crops() -> Tensor:
    """Photographs: smooth images in [-1, 1]."""
    return F.interpolate(torch.rand(4, 3, 4, 4) * 2 - 1, (32, 32), mode="bilinear")


@pytest.mark.parametrize(("offset", "measured"), [(0.0, "-1..1"), (0.5, "0..1")])
def test_a_range_is_measured(offset, measured):
    generator = Generator.from_module(Shrunk(offset))
    found, made = with_range(recognise(generator), generator, None, crops())
    assert made.shape == (4, 3, 32, 32)
    assert (str(found.images), found.range_from) == (measured, "measured")
    assert f"range {measured}, measured" in found.lines()[1]


@pytest.mark.parametrize("given", [None, "0..1"])
def test_a_network_of_known_range_runs_once(given, monkeypatch):
    passes = []
    forward = Shrunk.forward
    monkeypatch.setattr(Shrunk, "forward", lambda self, x: passes.append(x) or forward(self, x))
    images = Images.parse(given or "-1..1")
    generator = Generator.from_module(Shrunk(0.5), images=images)
    found = recognise(generator)
    passes.clear()
    network, made = with_range(found, generator, given, photographs := crops())
    assert len(passes) == 1
    assert made.equal(generator.build()(photographs))
    assert network.images == images


def test_a_range_that_cannot_be_told_is_said():
    generator = Generator.from_module(Scaled(1.0, 0.0))
    found, _ = with_range(recognise(generator), generator, None, crops())
    assert "range 0..1, taken because -1..1 and 0..255 fit as well: say which with --range" in found.lines()[1]


class Shrunk(nn.Module):
    """Pulls values a little towards a centre, that of the network's range."""

    def __init__(self, centre: float) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.tensor(centre))

    def forward(self, x: Tensor) -> Tensor:
        return 0.8 * (x - self.centre) + self.centre


MISTAKES = {
    "flat": (
        Scaled(0.0, 3.0),
        "0..255",
        r"range 0\.\.255 \(given\): got images of hardly more than one value, -0\.976 of",
    ),
    "far outside": (Scaled(255.0, 0.0), "0..1", r"range 0\.\.1 \(given\): got images from .* for 4.*give the range"),
    "bytes": (Made(Tensor.byte), "0..255", "Made: got uint8 for inputs 4x3x32x32, expected floats, which can be comp"),
    "one for all": (Made(lambda x: x.mean(0, keepdim=True)), "0..1", r"got an output \[1, 3, 32, 32\] for 4 items"),
    "not finite": (Scaled(float("inf"), 0.0), "0..1", r"range 0\.\.1 \(given\): got images that are not finite"),
}


@pytest.mark.parametrize(("network", "given", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_range_that_does_not_fit_is_refused(network, given, message):
    generator = Generator.from_module(network, images=Images.parse(given))
    with pytest.raises(ConfigError, match=message):
        with_range(recognise(generator), generator, given, crops())
