"""Instance norms in other forms: statistics in float32, and without an operator of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.export.rewrites.rewrite import Change, replace_layers


def float32_norms(network: nn.Module) -> Change:
    """Instance norms that compute in float32 whatever they are given: the variance of a map overflows half precision.

    Exact in float32, where it changes nothing but a name.
    """
    return Change("float32_norms", _replaced(network, Float32InstanceNorm))


def decomposed_norms(network: nn.Module) -> Change:
    """Instance norms as means, differences and products, for runtimes that have no operator for them.

    Slower than the operator on onnxruntime and OpenVINO.
    """
    return Change("decomposed_norms", _replaced(network, DecomposedNorm))


class _InstanceNorm(nn.Module):
    def __init__(self, layer: nn.InstanceNorm2d) -> None:
        """The same function.

        Args:
            layer: One without running statistics; its parameters are shared.
        """
        super().__init__()
        self.eps, self.weight, self.bias = layer.eps, layer.weight, layer.bias


class Float32InstanceNorm(_InstanceNorm):
    """Instance norm with statistics in float32; returns the type that it is given."""

    def forward(self, features: Tensor) -> Tensor:
        """Maps [b, c, h, w] to the same shape and type."""
        weight, bias = (None if each is None else each.float() for each in (self.weight, self.bias))
        return F.instance_norm(features.float(), weight=weight, bias=bias, eps=self.eps).to(features.dtype)


class DecomposedNorm(_InstanceNorm):
    """Instance norm by its formula: the mean first, then the mean square of what differs from it."""

    def forward(self, features: Tensor) -> Tensor:
        """Maps [b, c, h, w] to the same shape."""
        centred = features - features.mean((2, 3), keepdim=True)
        scale = torch.rsqrt((centred * centred).mean((2, 3), keepdim=True) + self.eps)
        if self.weight is None:
            return centred * scale
        return centred * (scale * self.weight.view(-1, 1, 1)) + self.bias.view(-1, 1, 1)


def _replaced(network: nn.Module, kind: type[_InstanceNorm]) -> tuple[str, ...]:
    return replace_layers(network, nn.InstanceNorm2d, lambda norm: None if norm.track_running_stats else kind(norm))
