"""Rewrite of convolutions with unaligned channels -> convolutions padded with channels of zeros, for integer kernels.

onnxruntime convolves 8-bit integers fast if a layer reads a multiple of 4 channels and writes a multiple of 16, and
ten times slower otherwise: this affects the first layer of a generator (3 channels) and the last one. A large kernel
with few input channels is slow in any case, because it looks up every position of the kernel for 4 bytes; such a layer
computes faster in float. So do depthwise convolutions among norms, which save less than the conversions around them
cost.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from gancompress.deploy.rewrites.rewrite import Change, replace_layers

_READ, _WRITTEN = 4, 16
_LARGE_KERNEL = 25


def aligned_channels(network: nn.Module) -> Change:
    """Pad dense convolutions to aligned numbers of channels; this adds MACs, and helps integers only."""

    def aligned(layer: nn.Conv2d) -> nn.Module | None:
        wanted = not AlignedConv2d.is_aligned(layer) and not _reads_little(layer)
        return AlignedConv2d(layer) if wanted else None

    return Change("aligned_channels", replace_layers(network, nn.Conv2d, aligned))


def slow_in_integers(network: nn.Module) -> tuple[str, ...]:
    """Return the paths of the convolutions that onnxruntime computes faster in float.

    Among norms, which are float, a depthwise convolution does too little to pay for the conversions around it;
    without norms there would be none, and keeping it float would add them.
    """
    norms = any(isinstance(layer, _NormBase | nn.GroupNorm) for layer in network.modules())
    convolutions = ((path, layer) for path, layer in network.named_modules() if isinstance(layer, nn.Conv2d))
    return tuple(
        path
        for path, layer in convolutions
        if (layer.groups > 1 and norms) or not AlignedConv2d.is_aligned(layer) or _reads_little(layer)
    )


def _reads_little(layer: nn.Conv2d) -> bool:
    few = layer.groups == 1 and layer.in_channels <= _READ
    return few and layer.kernel_size[0] * layer.kernel_size[1] >= _LARGE_KERNEL


class AlignedConv2d(nn.Module):
    """Convolution with padded input channels, and without the padded output channels."""

    @staticmethod
    def is_aligned(layer: nn.Conv2d) -> bool:
        """Return whether integer kernels take the layer unchanged."""
        return layer.groups > 1 or not (layer.in_channels % _READ or layer.out_channels % _WRITTEN)

    def __init__(self, layer: nn.Conv2d) -> None:
        """Build the same function from a layer.

        Args:
            layer: A dense layer; its weights are copied.
        """
        super().__init__()
        self._read, self._written = -layer.in_channels % _READ, layer.out_channels
        weight = layer.weight.detach()
        self.conv = nn.Conv2d(
            layer.in_channels + self._read,
            self._written + -self._written % _WRITTEN,
            layer.kernel_size,  # type: ignore[arg-type]
            stride=layer.stride,  # type: ignore[arg-type]
            padding=layer.padding,  # type: ignore[arg-type]
            dilation=layer.dilation,  # type: ignore[arg-type]
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
            device=weight.device,
            dtype=weight.dtype,
        )
        with torch.no_grad():
            self.conv.weight.zero_()[: self._written, : layer.in_channels].copy_(weight)
            if layer.bias is not None and self.conv.bias is not None:
                self.conv.bias.zero_()[: self._written].copy_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the layer's output for [b, c, h, w]."""
        if self._read:
            features = F.pad(features, (0, 0, 0, 0, 0, self._read))
        return self.conv(features)[:, : self._written]
