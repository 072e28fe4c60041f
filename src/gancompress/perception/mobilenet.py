"""MobileNetV2 without its classifier."""

from __future__ import annotations

from torch import Tensor, nn

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, width, number of blocks and stride of the first one, stage by stage."""

STEM_CHANNELS, FEATURES = 32, 1280


class InvertedResidual(nn.Module):
    """A 1x1 convolution to many channels, a depthwise 3x3 convolution, and a linear 1x1 convolution.

    Source: Sandler et al., MobileNetV2, CVPR 2018, table 1 and figure 3b.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        """Build a module from [b, in_channels, h, w] to [b, out_channels, h / stride, w / stride]."""
        super().__init__()
        wide = in_channels * expansion
        self.adds_input = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            *([] if expansion == 1 else [_convolution(in_channels, wide, 1)]),
            _convolution(wide, wide, 3, stride, groups=wide),
            nn.Conv2d(wide, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, out_channels, h / stride, w / stride]."""
        return features + self.conv(features) if self.adds_input else self.conv(features)


def mobilenet_v2_layers() -> tuple[nn.Sequential, dict[str, int]]:
    """Return the layers, and the index of the layer of each tap: the end of every stage, and ``features``.

    Source: Sandler et al., MobileNetV2, CVPR 2018, table 2.
    """
    layers: list[nn.Module] = [_convolution(3, STEM_CHANNELS, 3, 2)]
    taps, channels = {}, STEM_CHANNELS
    for number, (expansion, width, count, stride) in enumerate(STAGES, 1):
        for block in range(count):
            layers.append(InvertedResidual(channels, width, stride if block == 0 else 1, expansion))
            channels = width
        taps[f"stage{number}"] = len(layers) - 1
    layers.append(_convolution(channels, FEATURES, 1))
    return nn.Sequential(*layers), {**taps, "features": len(layers) - 1}


def _convolution(cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(cout), nn.ReLU6())
