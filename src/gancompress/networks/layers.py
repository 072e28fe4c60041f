"""Layers that several families share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import register_parametrization

NormKind = Literal["instance", "batch", "frozen"]
Padding = Literal["reflect", "zeros"]


def named_layers(**layers: nn.Module) -> nn.Sequential:
    """Return a sequence of layers with names (``stem.conv``, ``stem.norm``)."""
    return nn.Sequential(OrderedDict(layers))


class FrozenNorm(nn.BatchNorm2d):
    """A norm with constant statistics, in training too: only the scale and shift of an instance norm remain.

    It folds into the convolution before it.
    """

    def __init__(self, num_channels: int, eps: float = 1e-5) -> None:
        """Create a norm with mean 0, variance 1, scale 1 and shift 0."""
        super().__init__(num_channels, eps=eps, momentum=0.0)

    def forward(self, input: Tensor) -> Tensor:
        """Map [b, c, h, w] to the same shape."""
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


def norm_layer(kind: NormKind, num_channels: int, affine: bool = False, eps: float = 1e-5) -> nn.Module:
    """Return an instance norm without running statistics; or a batch norm or frozen norm, which are always affine.

    Args:
        kind: Kind of norm.
        num_channels: Width of its input [b, num_channels, h, w].
        affine: Whether an instance norm has a scale and a shift.
        eps: Constant added to the variance.
    """
    if kind == "batch":
        return nn.BatchNorm2d(num_channels, eps=eps)
    if kind == "frozen":
        return FrozenNorm(num_channels, eps)
    return nn.InstanceNorm2d(num_channels, affine=affine, eps=eps)


def bias_before(kind: NormKind) -> bool:
    """Return whether a convolution before this norm has a bias: by convention not before a batch norm."""
    return kind != "batch"


class SeparableConv(nn.Module):
    """Depthwise 3x3 convolution, norm, pointwise convolution; both with bias, but none before a batch norm.

    Source: Li et al., GAN Compression, CVPR 2020 (the MobileNet-style generator: reflection padding, instance norm).
    """

    def __init__(
        self, in_channels: int, out_channels: int, padding: Padding = "reflect", norm: NormKind = "instance"
    ) -> None:
        """Create a convolution from [b, in_channels, h, w] to [b, out_channels, h, w]."""
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels,
            in_channels,
            3,
            padding=1,
            padding_mode=padding,
            groups=in_channels,
            bias=bias_before(norm),
        )
        self.norm = norm_layer(norm, in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to [b, out_channels, h, w]."""
        return self.pointwise(self.norm(self.depthwise(features)))


class _SpectralNormOfAnyDevice(_SpectralNorm):
    """PyTorch's spectral norm, without power iterations on the meta device, which has no values to iterate on.

    It saves most of the time of building a network without weights to read a checkpoint.
    """

    def _power_method(self, weight_mat: Tensor, n_power_iterations: int) -> None:
        if not weight_mat.is_meta:
            super()._power_method(weight_mat, n_power_iterations)


def spectrally_normed(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """Apply spectral norm to a layer in place: its weight is divided by its largest singular value (power method).

    Source: Miyato et al., Spectral Normalization, ICLR 2018, algorithm 1.
    """
    register_parametrization(layer, "weight", _SpectralNormOfAnyDevice(layer.weight))
    return layer


def init_weights(network: nn.Module) -> None:
    """Draw every convolution's weight from N(0, 0.02) and set its bias to 0, in place.

    Source: Zhu et al., CycleGAN, ICCV 2017, appendix 7.1.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def init_weights_without_norms(
    network: nn.Module, last: nn.Conv2d | None = None, branches: Iterable[nn.Module] = ()
) -> None:
    """Draw weights of a plain convolutional network that has no norms to restore the scale of its features, in place.

    Convolutions that keep or reduce the number of channels, and are at least 8 wide, start as the identity plus a small
    He-normal part, the others He-normal; ``last`` starts small, if a shortcut already carries the image. Drawn from
    N(0, 0.02) instead, features of such a network vanish within a few layers, and it does not learn.

    Source: He et al., Delving Deep into Rectifiers, ICCV 2015, equation 10; Zagoruyko and Komodakis, DiracNets, 2017,
    equation 3, without the learned scales; small branches: Wang et al., ESRGAN, ECCVW 2018, section 3.1.
    """
    small = {last, *(layer for branch in branches for layer in branch.modules())}
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        nn.init.kaiming_normal_(layer.weight, a=_LEAK)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            if layer in small:
                layer.weight.mul_(_SMALL)
            elif layer.out_channels <= layer.in_channels and layer.in_channels >= _LEAST_IDENTITY:
                identity = nn.init.dirac_(torch.empty_like(layer.weight))
                layer.weight.mul_(_SHARE_BESIDE_IDENTITY).add_(identity)


_LEAK, _LEAST_IDENTITY = 0.25, 8
_SMALL, _SHARE_BESIDE_IDENTITY = 0.1, 0.2


def taps_of_residual_stages(encoder: str, num_blocks: int) -> tuple[str, ...]:
    """Return the paths of the encoder's end and of the last block of each third of ``blocks``."""
    ends = sorted({max(0, num_blocks * third // 3 - 1) for third in (1, 2, 3)})
    return (encoder, *(f"blocks.{i}" for i in ends))
