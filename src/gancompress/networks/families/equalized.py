"""Layers with an equalised learning rate, and other operations that both networks of StyleGAN2 use.

A weight is stored with unit variance and multiplied by ``1 / sqrt(fan in)`` whenever it is used. Narrowing changes
the fan in: each layer therefore keeps its original scale as a buffer, so that a narrow network computes the same as
the kept channels of the wide one. ``own_scale`` uses the narrow width instead.

Source: Karras et al., Progressive Growing of GANs, ICLR 2018, section 4.1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GAIN = math.sqrt(2)
SLOPE = 0.2


def activate(features: Tensor) -> Tensor:
    """Apply leaky ReLU times sqrt(2), which keeps the variance of its input."""
    return F.leaky_relu(features, SLOPE) * GAIN


class EqualizedLinear(nn.Linear):
    """``x (rate / sqrt(in) W)' + rate b``: a linear layer whose learning rate is ``rate`` times that of others."""

    scale: Tensor

    def __init__(self, in_features: int, out_features: int, *, rate: float = 1.0, first_bias: float = 0.0) -> None:
        """Draw weights from N(0, 1 / rate^2) and set every bias to ``first_bias``."""
        super().__init__(in_features, out_features)
        self.rate = rate
        nn.init.normal_(self.weight, std=1 / rate)
        nn.init.constant_(self.bias, first_bias)
        self.register_buffer("scale", torch.tensor(rate / math.sqrt(in_features)))

    def forward(self, input: Tensor) -> Tensor:
        """Map [..., in_features] to [..., out_features]."""
        return F.linear(input, self.weight * self.scale, self.bias * self.rate)


class EqualizedConv2d(nn.Conv2d):
    """Convolution with a scaled weight."""

    scale: Tensor
    own_scale: bool

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        own_scale: bool = False,
    ) -> None:
        """Draw weights from N(0, 1) and set biases to 0; ``own_scale`` computes the scale from the current width."""
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias)
        _begin(self, in_channels, own_scale)

    @property
    def factor(self) -> Tensor | float:
        """Factor of the weight."""
        return _scale_of(self.weight, 1) if self.own_scale else self.scale

    def forward(self, input: Tensor) -> Tensor:
        """Map [b, in, h, w] to [b, out, h', w']."""
        return self._conv_forward(input, self.weight * self.factor, self.bias)


class EqualizedConvTranspose2d(nn.ConvTranspose2d):
    """Transposed convolution with a scaled weight, stride 2 and no padding."""

    scale: Tensor
    own_scale: bool

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, own_scale: bool = False) -> None:
        """Create the layer as `EqualizedConv2d`, without bias."""
        super().__init__(in_channels, out_channels, kernel_size, stride=2, bias=False)
        _begin(self, in_channels, own_scale)

    @property
    def factor(self) -> Tensor | float:
        """Factor of the weight."""
        return _scale_of(self.weight, 0) if self.own_scale else self.scale

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]  # no output size
        """Map [b, in, h, w] to [b, out, 2 h - 2 + k, 2 w - 2 + k]."""
        return F.conv_transpose2d(input, self.weight * self.factor, stride=2)


def _begin(layer: EqualizedConv2d | EqualizedConvTranspose2d, in_channels: int, own_scale: bool) -> None:
    layer.own_scale = own_scale
    nn.init.normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    fan_in = in_channels * layer.kernel_size[0] * layer.kernel_size[1]
    layer.register_buffer("scale", torch.tensor(1 / math.sqrt(fan_in)))


def _scale_of(weight: Tensor, in_axis: int) -> float:
    return 1 / math.sqrt(weight.shape[in_axis] * weight.shape[2] * weight.shape[3])


def blur(features: Tensor, padding: int) -> Tensor:
    """Blur an image, padded with zeros, by the filter [1, 3, 3, 1] / 8 along both axes.

    Args:
        features: Any map [b, c, h, w].
        padding: Zeros on every side, 0 to 3.

    Returns:
        A map [b, c, h + 2 padding - 3, w + 2 padding - 3].
    """
    if torch.compiler.is_exporting():
        return _three_boxes(features, padding)
    return _blur2d(features, padding)


def _three_boxes(features: Tensor, padding: int) -> Tensor:
    """Blur with operators that every runtime has: three box filters of two pixels."""
    features = F.pad(features, (padding,) * 4)
    for _ in range(3):
        features = F.avg_pool2d(features, 2, stride=1)
    return features


@torch.library.custom_op("gancompress::blur2d", mutates_args=())
def _blur2d(features: Tensor, padding: int) -> Tensor:
    """Blur with one filter per channel, which is ten times as fast as pooling, forward and backward.

    It is a custom operator, so that the channel graph and counters do not see a convolution: it has no weights.
    """
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=features.dtype, device=features.device) / 8
    channels = features.shape[1]
    taps = torch.outer(line, line).expand(channels, 1, 4, 4)
    return F.conv2d(features, taps, padding=padding, groups=channels)


@_blur2d.register_fake
def _(features: Tensor, padding: int) -> Tensor:
    b, c, h, w = features.shape
    return features.new_empty(b, c, h + 2 * padding - 3, w + 2 * padding - 3)


def _blurred_gradient(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    """Return the gradient: the same symmetric filter with the padding that restores the size."""
    return _blur2d(gradient, 3 - ctx.padding), None


def _note_padding(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
    ctx.padding = inputs[1]


_blur2d.register_autograd(_blurred_gradient, setup_context=_note_padding)


def upsample(image: Tensor) -> Tensor:
    """Double height and width with the filter [1, 3, 3, 1] / 4 along both axes, with zeros around the image.

    Away from the border this is bilinear interpolation.

    Args:
        image: [b, c, h, w].

    Returns:
        [b, c, 2 h, 2 w].
    """
    padded = F.interpolate(F.pad(image, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
    return padded[:, :, 2:-2, 2:-2]
