"""The generator of ESRGAN and Real-ESRGAN: residual-in-residual dense blocks and upsampling."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.networks.config import Count, FamilyConfig
from gancompress.networks.family import Family
from gancompress.networks.layers import init_weights_without_norms
from gancompress.networks.layout import Layout, dimension, num_indexed, own_names
from gancompress.networks.state import Shapes

RESIDUAL_SCALE = 0.2
SLOPE = 0.2
_ENLARGED = 4
_DENSE = range(1, 5)


class RrdbNetConfig(FamilyConfig):
    """Configuration of an `RrdbNet`.

    Channel groups: ``conv_first`` (the residual stream, which every ``conv5`` and ``conv_body`` share),
    ``body.{i}.rdb{1,2,3}.conv{1,2,3,4}``, ``conv_up1``, ``conv_up2``, ``conv_hr``.

    Attributes:
        out_channels: Channels of the output image.
        nf: Base width: stream and up stages.
        growth: Channels that each of the first four convolutions of a dense block adds.
        num_blocks: Blocks of three dense blocks each.
        scale: Factor of the output size. The network always upsamples by four: for 2 and 1 the image is first
            unshuffled to a half and a quarter of its size, with its pixels moved into channels.
    """

    base_width: ClassVar[str] = "nf"
    reference_group: ClassVar[str] = "conv_first"
    loadable_widths: ClassVar[tuple[str, ...]] = ("nf",)  # spandrel infers no growth: it is 32 there

    out_channels: Count = 3
    nf: Count = 64
    growth: Count = 32
    num_blocks: Count = 23
    scale: Literal[1, 2, 4] = 4

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Taps after each third of the blocks."""
        ends = sorted({max(0, self.num_blocks * third // 3 - 1) for third in (1, 2, 3)})
        return tuple(f"body.{i}" for i in ends)

    def default_widths(self) -> dict[str, int]:
        """Return the widths: nf in the stream and the up stages, growth in the dense blocks."""
        dense = (f"body.{i}.rdb{j}.conv{k}" for i in range(self.num_blocks) for j in (1, 2, 3) for k in _DENSE)
        ends = dict.fromkeys(("conv_up1", "conv_up2", "conv_hr"), self.nf)
        return {"conv_first": self.nf} | dict.fromkeys(dense, self.growth) | ends

    @property
    def output_scale(self) -> int:
        """Size of the output image divided by the size of the input."""
        return self.scale

    @property
    def size_multiple(self) -> int:
        """Divisor of the image size, from the pixel unshuffle at the input."""
        return _ENLARGED // self.scale

    @property
    def min_size(self) -> int:
        """Smallest image size: one pixel after the pixel unshuffle."""
        return self.size_multiple


class DenseBlock(nn.Module):
    """Five convolutions, each of which reads the input and all previous outputs; the last is added to the input."""

    def __init__(self, stream: int, widths: list[int]) -> None:
        """Build a block from [b, stream, h, w] to the same shape; ``widths`` are of the first four convolutions."""
        super().__init__()
        cin = stream
        for k, width in enumerate(widths, 1):
            self.add_module(f"conv{k}", _conv(cin, width))
            cin += width
        self.conv5 = _conv(cin, stream)

    def forward(self, stream: Tensor) -> Tensor:
        """Map [b, stream, h, w] to the same shape."""
        features = stream
        for k in _DENSE:
            new = F.leaky_relu(self.get_submodule(f"conv{k}")(features), SLOPE)
            features = torch.cat([features, new], 1)
        return stream + RESIDUAL_SCALE * self.conv5(features)


class ResidualDenseBlocks(nn.Module):
    """Three dense blocks, added to the input."""

    def __init__(self, stream: int, widths: list[list[int]]) -> None:
        """Build a block from [b, stream, h, w] to the same shape; ``widths`` are those of each dense block."""
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(stream, own) for own in widths)

    def forward(self, stream: Tensor) -> Tensor:
        """Map [b, stream, h, w] to the same shape."""
        return stream + RESIDUAL_SCALE * self.rdb3(self.rdb2(self.rdb1(stream)))


class RrdbNet(nn.Module):
    """A super-resolution network without norms.

    Images are [-1, 1], RGB, NCHW, like those of every family. The published weights compute in [0, 1], so the network
    converts its input and output; the output may leave [-1, 1] slightly.

    Source: Wang et al., ESRGAN, ECCVW 2018, section 3.1; Wang et al., Real-ESRGAN, ICCVW 2021, section 3.2 (scales 1
    and 2).
    """

    def __init__(self, config: RrdbNetConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        width = config.group_widths()
        stream, up1, up2, last = (width[name] for name in ("conv_first", "conv_up1", "conv_up2", "conv_hr"))
        self._moved = config.size_multiple
        self.conv_first = _conv(config.in_channels * self._moved**2, stream)
        self.body = nn.Sequential(
            *(
                ResidualDenseBlocks(stream, [[width[f"body.{i}.rdb{j}.conv{k}"] for k in _DENSE] for j in (1, 2, 3)])
                for i in range(config.num_blocks)
            )
        )
        self.conv_body = _conv(stream, stream)
        self.conv_up1 = _conv(stream, up1)
        self.conv_up2 = _conv(up1, up2)
        self.conv_hr = _conv(up2, last)
        self.conv_last = _conv(last, config.out_channels)
        init_weights_without_norms(self, branches=self.body)

    def forward(self, image: Tensor) -> Tensor:
        """Map an image [b, in_channels, h, w] to an image [b, out_channels, scale h, scale w]."""
        features = self.conv_first(F.pixel_unshuffle((image + 1) / 2, self._moved))
        features = features + self.conv_body(self.body(features))
        for layer in (self.conv_up1, self.conv_up2):
            features = F.leaky_relu(layer(F.interpolate(features, scale_factor=2, mode="nearest")), SLOPE)
        return self.conv_last(F.leaky_relu(self.conv_hr(features), SLOPE)) * 2 - 1


def _conv(cin: int, cout: int) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 3, padding=1)


_SCALES: dict[int, Literal[1, 2, 4]] = {1: 4, 4: 2, 16: 1}
"""Scale by the number of pixels that are moved into each channel."""


def _infer(shapes: Shapes) -> RrdbNetConfig:
    out_channels = dimension(shapes, "conv_last.weight", 0, default=3)
    entering = dimension(shapes, "conv_first.weight", 1, default=out_channels)
    scale = _SCALES.get(entering // out_channels, 4)
    return RrdbNetConfig(
        in_channels=max(1, entering * scale**2 // 16),
        out_channels=out_channels,
        growth=dimension(shapes, "body.0.rdb1.conv1.weight", 0, default=32),
        num_blocks=num_indexed(shapes, "body."),
        scale=scale,
    )


_LAYOUTS = (Layout("BasicSR", own_names, _infer),)
"""BasicSR and Real-ESRGAN use the same tensor names as this package."""

FAMILIES = (Family("rrdbnet", RrdbNet, RrdbNetConfig, layouts=_LAYOUTS),)
