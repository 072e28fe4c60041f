"""The compact generator of Real-ESRGAN: plain convolutions and one pixel shuffle."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.networks.config import Count, FamilyConfig
from gancompress.networks.family import Family
from gancompress.networks.layers import init_weights_without_norms
from gancompress.networks.layout import Layout, dimension, num_indexed, own_names
from gancompress.networks.state import Shapes

_SLOPE = 0.1


class SrvggNetCompactConfig(FamilyConfig):
    """Configuration of an `SrvggNetCompact`.

    Channel groups: ``body.0``, ``body.2`` and so on: every convolution but the last.

    Attributes:
        in_channels: Channels of the image, which the output has too.
        nf: Base width.
        num_conv: Convolutions between the first and the last one.
        scale: Factor of the output size.
        activation: Activation behind every convolution but the last.
    """

    base_width: ClassVar[str] = "nf"
    reference_group: ClassVar[str] = "body.0"
    loadable_widths: ClassVar[tuple[str, ...]] = ("nf",)

    nf: Count = 64
    num_conv: Count = 16
    scale: Count = 4
    activation: Literal["prelu", "relu", "leakyrelu"] = "prelu"

    @property
    def output_scale(self) -> int:
        """Size of the output image divided by the size of the input."""
        return self.scale

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Taps after the activation at the end of each third."""
        return tuple(f"body.{2 * end + 1}" for end in sorted({self.num_conv * third // 3 for third in (1, 2, 3)}))

    def default_widths(self) -> dict[str, int]:
        """Return the widths: nf everywhere."""
        return {f"body.{2 * i}": self.nf for i in range(self.num_conv + 1)}


class SrvggNetCompact(nn.Module):
    """A super-resolution network that computes at the size of its input, and adds the input enlarged by nearest.

    Images are [-1, 1], RGB, NCHW, like those of every family. The published weights compute in [0, 1], so the network
    converts its input and output; the output may leave [-1, 1] slightly.

    Source: Wang et al., Real-ESRGAN, ICCVW 2021, and the network SRVGGNetCompact of its public code.
    """

    def __init__(self, config: SrvggNetCompactConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        layers: list[nn.Module] = []
        cin = config.in_channels
        for cout in config.group_widths().values():
            layers += [nn.Conv2d(cin, cout, 3, padding=1), _activation(config.activation, cout)]
            cin = cout
        last = nn.Conv2d(cin, config.in_channels * config.scale**2, 3, padding=1)
        self.body = nn.Sequential(*layers, last)
        self.scale, self.upsampler = config.scale, nn.PixelShuffle(config.scale)
        init_weights_without_norms(self, last)

    def forward(self, image: Tensor) -> Tensor:
        """Map an image [b, in_channels, h, w] to an image [b, in_channels, scale h, scale w]."""
        image = (image + 1) / 2
        detail = self.upsampler(self.body(image))
        return (detail + F.interpolate(image, scale_factor=self.scale, mode="nearest")) * 2 - 1


def _activation(name: str, channels: int) -> nn.Module:
    if name == "prelu":
        return nn.PReLU(channels)
    return nn.ReLU() if name == "relu" else nn.LeakyReLU(_SLOPE)


def _infer(shapes: Shapes) -> SrvggNetCompactConfig:
    num_layers = num_indexed(shapes, "body.")
    in_channels = dimension(shapes, "body.0.weight", 1, default=3)
    with_activations = "body.1.weight" in shapes and len(shapes["body.1.weight"]) == 1
    # Layers without tensors leave gaps in the numbers of those that have some.
    num_conv = max(1, (num_layers - 3) // 2 if with_activations else num_layers - 2)
    last = dimension(shapes, f"body.{2 * num_conv + 2}.weight", 0, default=in_channels)
    return SrvggNetCompactConfig(
        in_channels=in_channels,
        num_conv=num_conv,
        scale=max(1, math.isqrt(last // in_channels)),
        activation="prelu" if with_activations else "relu",
    )


_LAYOUTS = (Layout("BasicSR's compact network", own_names, _infer),)
"""BasicSR and Real-ESRGAN use the same tensor names as this package."""

FAMILIES = (Family("srvggnet_compact", SrvggNetCompact, SrvggNetCompactConfig, layouts=_LAYOUTS),)
