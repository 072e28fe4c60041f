"""SqueezeNet 1.0 and 1.1 without their classifiers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then parallel 1x1 and 3x3 convolutions.

    Source: Iandola et al., SqueezeNet, 2016, section 3.2.
    """

    def __init__(self, in_channels: int, squeeze_channels: int, expand_channels: int) -> None:
        """Build a module from [b, in_channels, h, w] to [b, 2 * expand_channels, h, w]."""
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze_channels, 1)
        self.expand1x1 = nn.Conv2d(squeeze_channels, expand_channels, 1)
        self.expand3x3 = nn.Conv2d(squeeze_channels, expand_channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, 2 * expand_channels, h, w]."""
        squeezed = self.squeeze(features).relu()
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1).relu()


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def squeezenet1_0_layers() -> tuple[nn.Sequential, dict[str, int]]:
    """Return the layers of version 1.0, and the index of the layer of each tap.

    Source: Iandola et al., SqueezeNet, 2016, table 1.
    """
    layers = nn.Sequential(
        *(nn.Conv2d(3, 96, 7, stride=2), nn.ReLU(), _pool()),
        *(Fire(96, 16, 64), Fire(128, 16, 64), Fire(128, 32, 128), _pool()),
        *(Fire(256, 32, 128), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), _pool()),
        Fire(512, 64, 256),
    )
    fires = {"fire2": 3, "fire3": 4, "fire4": 5, "fire5": 7, "fire6": 8, "fire7": 9, "fire8": 10, "fire9": 12}
    return layers, {"relu1": 1, **fires}


def squeezenet1_1_layers() -> tuple[nn.Sequential, dict[str, int]]:
    """Return the layers of version 1.1, and the index of the layer of each tap.

    Source: Iandola et al., release v1.1 of the SqueezeNet repository.
    """
    layers = nn.Sequential(
        *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), _pool()),
        *(Fire(64, 16, 64), Fire(128, 16, 64), _pool()),
        *(Fire(128, 32, 128), Fire(256, 32, 128), _pool()),
        *(Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)),
    )
    fires = {"fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7, "fire6": 9, "fire7": 10, "fire8": 11, "fire9": 12}
    return layers, {"relu1": 1, **fires}
