"""Rewrite of a convolution to few channels -> convolution of stride 2 to four times as many, and pixel shuffle.

A convolution with three output channels leaves most of a vector unit idle, and the last one of a generator is its
largest. Four neighbouring pixels computed together are twelve channels: a kernel of k x k pixels, moved by 0 or 1 along
each axis, fits into one of (k + 1) x (k + 1). So its MACs grow by ((k + 1) / k)^2, 64/49 for 7x7. (The same with the
pixels of the input side by side in channels, too, needs one more pass over the map to put them there.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gancompress.deploy.rewrites.rewrite import Change, replace_layers, same_on_both_axes
from gancompress.deploy.rewrites.shuffles import ShuffledConv

_FEW_CHANNELS = 4
_SMALLEST_KERNEL = 5
_BLOCK = 2
_PADDINGS: dict[str, Callable[[int], nn.Module]] = {
    "zeros": nn.ZeroPad2d,
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
    "circular": nn.CircularPad2d,
}


def strided_last_convolution(network: nn.Module) -> Change:
    """Replace convolutions of 5x5 and larger to at most four channels, for images of even height and width."""

    def strided(layer: nn.Conv2d) -> nn.Module | None:
        few = layer.out_channels <= _FEW_CHANNELS and layer.kernel_size[0] >= _SMALLEST_KERNEL
        return StridedConv2d(layer) if few and StridedConv2d.replaces(layer) else None

    return Change("strided_last_convolution", replace_layers(network, nn.Conv2d, strided))


class StridedConv2d(ShuffledConv):
    """Convolution of stride 1 that keeps the size, computed for 2x2 pixels at a time."""

    @staticmethod
    def replaces(layer: nn.Conv2d) -> bool:
        """Return whether the layer can be replaced: square, dense, with an odd kernel, and of the size of its input."""
        if not same_on_both_axes(layer.kernel_size, layer.stride, layer.padding, layer.dilation) or layer.groups != 1:
            return False
        kernel = layer.kernel_size[0]
        return layer.stride[0] == layer.dilation[0] == 1 and kernel % 2 == 1 and layer.padding[0] == kernel // 2

    def __init__(self, layer: nn.Conv2d) -> None:
        """Build the same function, on images of even height and width, from a layer.

        Args:
            layer: A layer that `replaces` accepts; its weights are copied.
        """
        super().__init__(_BLOCK)
        weight = layer.weight.detach()
        (cout, cin, kernel), grown = weight.shape[:3], layer.kernel_size[0] + _BLOCK - 1
        moved = weight.new_zeros(cout, _BLOCK, _BLOCK, cin, grown, grown)
        for row in range(_BLOCK):
            for column in range(_BLOCK):
                moved[:, row, column, :, row : row + kernel, column : column + kernel] = weight
        self.pad = _PADDINGS[layer.padding_mode](kernel // 2)
        self.conv = nn.Conv2d(
            cin,
            cout * _BLOCK**2,
            grown,
            stride=_BLOCK,
            bias=layer.bias is not None,
            device=weight.device,
            dtype=weight.dtype,
        )
        with torch.no_grad():
            self.conv.weight.copy_(moved.flatten(0, 2))
            if layer.bias is not None and self.conv.bias is not None:
                self.conv.bias.copy_(layer.bias.repeat_interleave(_BLOCK**2))

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, c, h, w] to [b, d, h, w], height and width even."""
        return self.shuffle(self.conv(self.pad(features)))
