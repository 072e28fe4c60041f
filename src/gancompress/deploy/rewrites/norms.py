"""Rewrites of instance norms: statistics in float32, and without an operator of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.deploy.rewrites.rewrite import Change, replace_layers


def float32_norms(network: nn.Module) -> Change:
    """Compute instance norms in float32 for any input type, because the variance of a map overflows half precision.

    Exact in float32, where only the class changes.
    """
    return Change("float32_norms", _replaced(network, Float32InstanceNorm))


def decomposed_norms(network: nn.Module) -> Change:
    """Replace instance norms by means, differences and products, for runtimes that have no operator for them.

    Slower than the operator on onnxruntime and OpenVINO.
    """
    return Change("decomposed_norms", _replaced(network, DecomposedNorm))


class _InstanceNorm(nn.Module):
    def __init__(self, layer: nn.InstanceNorm2d) -> None:
        """Build the same function from a layer.

        Args:
            layer: A layer without running statistics; its parameters are shared.
        """
        super().__init__()
        self.eps, self.weight, self.bias = layer.eps, layer.weight, layer.bias


class Float32InstanceNorm(_InstanceNorm):
    """Instance norm with statistics in float32; the output has the type of the input."""

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, c, h, w] to the same shape and type."""
        weight, bias = (None if each is None else each.float() for each in (self.weight, self.bias))
        return F.instance_norm(features.float(), weight=weight, bias=bias, eps=self.eps).to(features.dtype)


class DecomposedNorm(_InstanceNorm):
    """Instance norm by its formula: the mean first, then the mean square of the centred values."""

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, c, h, w] to the same shape."""
        centred = features - features.mean((2, 3), keepdim=True)
        scale = torch.rsqrt((centred * centred).mean((2, 3), keepdim=True) + self.eps)
        if self.weight is None:
            return centred * scale
        return centred * (scale * self.weight.view(-1, 1, 1)) + self.bias.view(-1, 1, 1)


def _replaced(network: nn.Module, kind: type[_InstanceNorm]) -> tuple[str, ...]:
    return replace_layers(network, nn.InstanceNorm2d, lambda norm: None if norm.track_running_stats else kind(norm))
