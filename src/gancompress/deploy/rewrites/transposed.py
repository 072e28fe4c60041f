"""Rewrite of a transposed convolution -> convolution and pixel shuffle.

Pixel ``s m + q`` of a transposed convolution of stride s is a convolution of the small map, with the weights whose
position is q modulo s. All s x s of them together are one convolution with s x s times the channels. The kernel is
filled up with zeros to a multiple of the stride: none for 4x4 and 2x2, so the MACs stay the same; 16/9 for 3x3.

Source: Shi et al., Is the deconvolution layer the same as a convolutional layer?, arXiv 1609.07009.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.deploy.rewrites.rewrite import Change, replace_layers, same_on_both_axes
from gancompress.deploy.rewrites.shuffles import ShuffledConv


def even_transposed_convolutions(network: nn.Module) -> Change:
    """Replace transposed convolutions whose kernel is a multiple of the stride (4x4, 2x2, stride 2): no extra MACs."""
    return Change("even_transposed_convolutions", _shuffled(network, lambda kernel, stride: kernel % stride == 0))


def odd_transposed_convolutions(network: nn.Module) -> Change:
    """Replace the other transposed convolutions (3x3, stride 2): 16/9 of their MACs, but no transposed convolution."""
    return Change("odd_transposed_convolutions", _shuffled(network, lambda kernel, stride: kernel % stride != 0))


def _shuffled(network: nn.Module, wanted: Callable[[int, int], bool]) -> tuple[str, ...]:
    def shuffled(layer: nn.ConvTranspose2d) -> nn.Module | None:
        takes = ShuffledConvTranspose2d.replaces(layer) and wanted(layer.kernel_size[0], layer.stride[0])
        return ShuffledConvTranspose2d(layer) if takes else None

    return replace_layers(network, nn.ConvTranspose2d, shuffled)


class ShuffledConvTranspose2d(ShuffledConv):
    """Transposed convolution of stride s, output s times as high and wide, computed by a convolution and a shuffle."""

    @staticmethod
    def replaces(layer: nn.ConvTranspose2d) -> bool:
        """Return whether the layer can be replaced: stride above 1, square, dense, and exactly s times the size."""
        sizes = (layer.kernel_size, layer.stride, layer.padding, layer.output_padding, layer.dilation)
        if not same_on_both_axes(*sizes) or layer.groups != 1 or layer.dilation[0] != 1:
            return False
        kernel, stride, padding, extra = (int(size[0]) for size in sizes[:4])
        return stride > 1 and extra == stride + 2 * padding - kernel

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        """Build the same function from a layer.

        Args:
            layer: A layer that `replaces` accepts; its weights are copied.
        """
        super().__init__(layer.stride[0])
        kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        # Zeros before the kernel move the image to a multiple of the stride, so that nothing is cropped after the
        # shuffle: this pays if the kernel needs zeros anyway.
        before = -padding % stride if kernel % stride else 0
        taps = -(-(kernel + before) // stride)
        skipped, self._cut = divmod(padding + before, stride)
        self._padding = (taps - 1 - skipped, skipped + (1 if self._cut else 0))
        weight = layer.weight.detach()
        cin, cout = weight.shape[:2]
        filled = weight.new_zeros(cin, cout, taps * stride, taps * stride)
        filled[:, :, before : before + kernel, before : before + kernel] = weight
        # [cin, cout, tap, phase, tap, phase] -> channels by phase, as the shuffle reads them; the taps of a convolution
        # run in the other direction.
        phases = filled.view(cin, cout, taps, stride, taps, stride).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
        self.conv = nn.Conv2d(
            cin,
            cout * stride**2,
            taps,
            padding=self._padding[0] if len(set(self._padding)) == 1 else 0,
            bias=layer.bias is not None,
            device=weight.device,
            dtype=weight.dtype,
        )
        with torch.no_grad():
            self.conv.weight.copy_(phases.reshape(self.conv.weight.shape))
            if layer.bias is not None and self.conv.bias is not None:
                self.conv.bias.copy_(layer.bias.repeat_interleave(stride**2))

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, c, h, w] to [b, d, s h, s w]."""
        if self._padding[0] != self._padding[1]:
            features = F.pad(features, self._padding * 2)
        image = self.shuffle(self.conv(features))
        if self._cut:
            inside = slice(self._cut, self._cut - self.block)
            image = image[..., inside, inside]
        return image
