"""Rewrites to operators that delegates for GPUs and neural processors keep: ReLU, and tensors of at most four axes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.deploy.rewrites.rewrite import Change, replace_layers


def relu_prelus(network: nn.Module) -> Change:
    """Replace PReLU by two ReLUs, for delegates without an operator for it."""
    return Change("relu_prelus", replace_layers(network, nn.PReLU, TwoReLUs))


def rank4_shuffles(network: nn.Module) -> Change:
    """Replace pixel shuffles by slices, permutations and a concatenation of tensors of at most four axes."""
    replaced = replace_layers(network, nn.PixelShuffle, lambda layer: Rank4Shuffle(layer.upscale_factor))
    return Change("rank4_shuffles", replaced)


class TwoReLUs(nn.Module):
    """`torch.nn.PReLU` as max(x, 0) - slope * max(-x, 0): for every x one of the terms is 0, so nothing is rounded."""

    def __init__(self, layer: nn.PReLU) -> None:
        """Share the slopes of a layer: one, or one for each channel."""
        super().__init__()
        self.weight = layer.weight

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, c, ...] to the same shape."""
        slope = self.weight.view(-1, *(1,) * (features.dim() - 2))
        return F.relu(features) - slope * F.relu(-features)


class Rank4Shuffle(nn.Module):
    """`torch.nn.PixelShuffle`, row of a block by row."""

    def __init__(self, block: int) -> None:
        """Set the number of pixels along each axis in the channels of one position."""
        super().__init__()
        self.block = block

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, c * block * block, h, w] to [b, c, block * h, block * w]."""
        batch, channels, height, width = features.shape
        block, images = self.block, channels // self.block**2
        phases = features.reshape(batch * images, block * block, height, width)
        rows = [  # each the pixels of every block's first, second, ... row, side by side
            phases[:, row * block : (row + 1) * block].permute(0, 2, 3, 1).reshape(-1, height, 1, width * block)
            for row in range(block)
        ]
        return torch.cat(rows, 2).reshape(batch, images, height * block, width * block)
