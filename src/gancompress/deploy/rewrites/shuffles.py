"""Rewrite of the pixel shuffle after a convolution -> shuffle of rows, for kernels that keep channels last.

After an integer convolution channels are last in memory. If all channels of a pixel's right neighbour follow its
own, the two pixels in the channels of one position are two pixels of a row already, and only whole rows are moved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancompress.deploy.rewrites.rewrite import Change


class ShuffledConv(nn.Module):
    """Convolution to the channels of ``block`` x ``block`` pixels, and the shuffle that moves them to their places."""

    conv: nn.Conv2d
    shuffle: nn.Module

    def __init__(self, block: int) -> None:
        """Set the number of pixels along each axis that are computed together."""
        super().__init__()
        self.block = block
        self.shuffle = nn.PixelShuffle(block)


def row_shuffles(network: nn.Module) -> Change:
    """Replace the shuffles after rewritten convolutions, for runtimes whose convolutions have channels last."""
    layers = {path: layer for path, layer in network.named_modules() if isinstance(layer, ShuffledConv)}
    for layer in layers.values():
        if isinstance(layer.shuffle, nn.PixelShuffle):
            _by_rows(layer)
    return Change("row_shuffles", tuple(layers))


def _by_rows(layer: ShuffledConv) -> None:
    phases = layer.block**2
    order = torch.arange(layer.conv.out_channels).view(-1, phases).t().flatten()
    layer.conv.weight = nn.Parameter(layer.conv.weight.detach()[order])
    if layer.conv.bias is not None:
        layer.conv.bias = nn.Parameter(layer.conv.bias.detach()[order])
    layer.shuffle = RowShuffle(layer.block)


class RowShuffle(nn.Module):
    """`torch.nn.PixelShuffle` of channels in the order row, column, channel."""

    def __init__(self, block: int) -> None:
        """Set the number of pixels along each axis in the channels of one position."""
        super().__init__()
        self.block = block

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, block * block * c, h, w] to [b, c, block * h, block * w]."""
        batch, channels, height, width = features.shape
        of_row = channels // self.block
        last = features.permute(0, 2, 3, 1)
        rows = [  # each the pixels of every block's first, second, ... row, side by side
            last[..., row * of_row : (row + 1) * of_row].reshape(batch, height, 1, width * of_row)
            for row in range(self.block)
        ]
        image = torch.cat(rows, 2).reshape(batch, height * self.block, width * self.block, of_row // self.block)
        return image.permute(0, 3, 1, 2)
