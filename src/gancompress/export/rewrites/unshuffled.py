"""Convolution at full size -> pixel unshuffle, denser convolution at half size, pixel shuffle.

A convolution with three output channels leaves most of a vector unit idle, and the last one of a generator is its largest.
On four pixels at a time it has twelve output channels and four times the input channels. A kernel of k pixels becomes one
of ceil((k + 1) / 2) blocks, so its MACs grow by (2 ceil((k + 1) / 2) / k)^2: 64/49 for 7x7, 16/9 for 3x3.

Padding is done first, on pixels, so that reflection stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.export.rewrites.rewrite import Change, replace_layers, same_on_both_axes

_FEW_CHANNELS = 4
_SMALLEST_KERNEL = 5
_BLOCK = 2
_PADDINGS: dict[str, Callable[[int], nn.Module]] = {
    "zeros": nn.ZeroPad2d,
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
    "circular": nn.CircularPad2d,
}


def unshuffled_last_convolution(network: nn.Module) -> Change:
    """Convolutions of 5x5 and larger to at most four channels, on images of even height and width."""

    def unshuffled(layer: nn.Conv2d) -> nn.Module | None:
        few = layer.out_channels <= _FEW_CHANNELS and layer.kernel_size[0] >= _SMALLEST_KERNEL
        return UnshuffledConv2d(layer) if few and UnshuffledConv2d.replaces(layer) else None

    return Change("unshuffled_last_convolution", replace_layers(network, nn.Conv2d, unshuffled))


class UnshuffledConv2d(nn.Module):
    """A convolution of stride 1 that keeps the size, computed on blocks of 2x2 pixels."""

    @staticmethod
    def replaces(layer: nn.Conv2d) -> bool:
        """Whether the layer is one of those: square, dense, of odd kernel, and of the size of its input."""
        if not same_on_both_axes(layer.kernel_size, layer.stride, layer.padding, layer.dilation) or layer.groups != 1:
            return False
        kernel = layer.kernel_size[0]
        return layer.stride[0] == layer.dilation[0] == 1 and kernel % 2 == 1 and layer.padding[0] == kernel // 2

    def __init__(self, layer: nn.Conv2d) -> None:
        """The same function on images of even height and width.

        Args:
            layer: One that `replaces` accepts; its weights are copied.
        """
        super().__init__()
        kernel, taps = layer.kernel_size[0], -(-(layer.kernel_size[0] + _BLOCK - 1) // _BLOCK)
        weight = layer.weight.detach()
        cout, cin = weight.shape[:2]
        moved = weight.new_zeros(cout, _BLOCK, _BLOCK, cin, taps * _BLOCK, taps * _BLOCK)
        for row in range(_BLOCK):
            for column in range(_BLOCK):
                moved[:, row, column, :, row : row + kernel, column : column + kernel] = weight
        blocks = moved.view(cout, _BLOCK, _BLOCK, cin, taps, _BLOCK, taps, _BLOCK).permute(0, 1, 2, 3, 5, 7, 4, 6)
        self.pad = _PADDINGS[layer.padding_mode](int(layer.padding[0]))
        self.conv = nn.Conv2d(
            cin * _BLOCK**2,
            cout * _BLOCK**2,
            taps,
            bias=layer.bias is not None,
            device=weight.device,
            dtype=weight.dtype,
        )
        with torch.no_grad():
            self.conv.weight.copy_(blocks.reshape(self.conv.weight.shape))
            if layer.bias is not None and self.conv.bias is not None:
                self.conv.bias.copy_(layer.bias.repeat_interleave(_BLOCK**2))

    def forward(self, features: Tensor) -> Tensor:
        """Maps [b, c, h, w] to [b, d, h, w], height and width even."""
        return F.pixel_shuffle(self.conv(F.pixel_unshuffle(self.pad(features), _BLOCK)), _BLOCK)
