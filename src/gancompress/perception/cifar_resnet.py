"""ResNet-56 of CIFAR-10."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.perception.trunk import IMAGENET_MEAN, IMAGENET_STD

BLOCKS, WIDTHS, CLASSES = 9, (16, 32, 64), 10


class _Block(nn.Module):
    """Two convolutions added to the input, whose new channels are zeros.

    Source: He et al., Deep Residual Learning, CVPR 2016, section 4.2, shortcuts of option A.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride, self.new = stride, (out_channels - in_channels) // 2
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new, self.new))
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


class CifarResNet(nn.Module):
    """ResNet-56 from images [b, 3, 32, 32], RGB in [0, 1], to features [b, 64] and logits of 10 classes [b, 10].

    Source: He et al., Deep Residual Learning, CVPR 2016, section 4.2.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        """Build the network with the parameter names of the published file."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], 1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], 2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], 2)
        self.linear = nn.Linear(WIDTHS[2], CLASSES)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images to features and logits."""
        x = F.relu(self.bn1(self.conv1((images - self.mean) / self.std)))
        features = self.layer3(self.layer2(self.layer1(x))).mean((2, 3))
        return [features, self.linear(features)]


def _stage(in_channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_Block(in_channels, width, stride), *(_Block(width, width, 1) for _ in range(BLOCKS - 1)))
