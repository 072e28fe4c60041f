"""The residual discriminator of StyleGAN2.

Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, section 4.1; standard deviation
of the batch: Karras et al., Progressive Growing of GANs, ICLR 2018, section 3.
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from gancompress.errors import InputSizeError
from gancompress.networks.config import Count, FamilyConfig
from gancompress.networks.families.equalized import EqualizedConv2d, EqualizedLinear, activate, blur
from gancompress.networks.families.stylegan2 import (
    BOTTOM_PX,
    EPSILON,
    Multiplier,
    Resolution,
    Widest,
    check_resolution,
    default_width,
)


class StyleGan2DiscriminatorConfig(FamilyConfig):
    """Configuration of a `StyleGan2Discriminator`.

    Channel groups: ``stem``, ``blocks.{i}.conv1`` and ``blocks.{i}.conv2`` (which the block's shortcut shares),
    ``head.conv`` and ``head.linear``.

    Attributes:
        resolution: Height and width of the images in pixels, a power of two.
        channel_multiplier: Channel multiplier, as in `StyleGan2Config`.
        channel_max: The most channels of a layer, as in `StyleGan2Config`.
        group_size: The most images in a group for the standard deviation.
    """

    base_width: ClassVar[str] = "channel_max"
    reference_group: ClassVar[str] = "head.linear"

    resolution: Resolution = 256
    channel_multiplier: Multiplier = 2
    channel_max: Widest = 512
    group_size: Count = 4

    @property
    def num_blocks(self) -> int:
        """Number of blocks, each of which halves height and width, down to 4 pixels."""
        return self.resolution.bit_length() - 3

    @property
    def size_multiple(self) -> int:
        """Divisor of the image size: the resolution, because images have one size."""
        return self.resolution

    @property
    def min_size(self) -> int:
        """Smallest image size: the resolution, because images have one size."""
        return self.resolution

    def default_widths(self) -> dict[str, int]:
        """Return the widths: a block begins with that of its resolution and ends with that of the next lower one."""

        def width(px: int) -> int:
            return default_width(px, self.channel_multiplier, self.channel_max)

        widths = {"stem": width(self.resolution)}
        for i in range(self.num_blocks):
            px = self.resolution >> i
            widths |= {f"blocks.{i}.conv1": width(px), f"blocks.{i}.conv2": width(px // 2)}
        return widths | {"head.conv": width(BOTTOM_PX), "head.linear": width(BOTTOM_PX)}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_resolution(self.resolution)
        return self


class ResidualBlock(nn.Module):
    """Two convolutions with a 1x1 shortcut; the second convolution and the shortcut blur and halve.

    The sum is scaled to keep its variance.
    """

    def __init__(self, in_channels: int, middle: int, out_channels: int) -> None:
        """Build a block from [b, in_channels, h, w] to [b, out_channels, h / 2, w / 2]."""
        super().__init__()
        self.conv1 = EqualizedConv2d(in_channels, middle, 3, padding=1)
        self.conv2 = EqualizedConv2d(middle, out_channels, 3, stride=2)
        self.shortcut = EqualizedConv2d(in_channels, out_channels, 1, stride=2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, out_channels, h / 2, w / 2]."""
        new = activate(self.conv2(blur(activate(self.conv1(features)), padding=2)))
        return (new + self.shortcut(blur(features, padding=1))) / math.sqrt(2)


class Head(nn.Module):
    """The batch's standard deviation as an additional channel, a convolution and two linear layers."""

    def __init__(self, in_channels: int, width: int, hidden: int, group_size: int) -> None:
        """Build a head from [b, in_channels, 4, 4] to [b, 1]."""
        super().__init__()
        self.group_size = group_size
        self.conv = EqualizedConv2d(in_channels + 1, width, 3, padding=1)
        self.linear = EqualizedLinear(width * BOTTOM_PX**2, hidden)
        self.out = EqualizedLinear(hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, in_channels, 4, 4] to logits [b, 1]."""
        features = torch.cat([features, deviation(features, self.group_size)], 1)
        return self.out(activate(self.linear(activate(self.conv(features)).flatten(1))))


class StyleGan2Discriminator(nn.Module):
    """A 1x1 convolution, residual blocks down to 4 pixels, and the head."""

    def __init__(self, config: StyleGan2DiscriminatorConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        width = config.group_widths()
        self.resolution = config.resolution
        self.stem = EqualizedConv2d(config.in_channels, width["stem"], 1)
        streams = [width["stem"], *(width[f"blocks.{i}.conv2"] for i in range(config.num_blocks))]
        self.blocks = nn.Sequential(
            *(ResidualBlock(streams[i], width[f"blocks.{i}.conv1"], streams[i + 1]) for i in range(config.num_blocks))
        )
        self.head = Head(streams[-1], width["head.conv"], width["head.linear"], config.group_size)

    def forward(self, image: Tensor) -> Tensor:
        """Map images [b, in_channels, h, w] to logits [b, 1].

        Raises:
            InputSizeError: The images have another size than ``resolution``.
        """
        if tuple(image.shape[2:]) != (self.resolution, self.resolution):
            raise InputSizeError(
                f"stylegan2_discriminator: got images of {image.shape[2]}x{image.shape[3]}, expected "
                f"{self.resolution}x{self.resolution}; set its resolution to that of the generator and of the data"
            )
        return self.head(self.blocks(activate(self.stem(image))))


def deviation(features: Tensor, group_size: int) -> Tensor:
    """Return the mean standard deviation within each group of images, as a map [b, 1, h, w].

    Images i, i + b / g, i + 2 b / g ... are a group; g is the largest divisor of b up to ``group_size``.
    """
    batch_size, _, *size = features.shape
    group = next(g for g in range(min(group_size, batch_size), 0, -1) if batch_size % g == 0)
    groups = features.unflatten(0, (group, batch_size // group))
    spread = (groups.var(0, unbiased=False) + EPSILON).sqrt().mean((1, 2, 3))
    return spread.repeat(group)[:, None, None, None].expand(-1, 1, *size)
