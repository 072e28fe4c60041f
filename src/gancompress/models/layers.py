"""Layers that several families are made of."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import register_parametrization

NormKind = Literal["instance", "batch", "frozen"]
Padding = Literal["reflect", "zeros"]


def named_layers(**layers: nn.Module) -> nn.Sequential:
    """Layers that run one after another, each under its name (``stem.conv``, ``stem.norm``)."""
    return nn.Sequential(OrderedDict(layers))


class FrozenNorm(nn.BatchNorm2d):
    """A norm whose statistics are constants, in training too: what is left of an instance norm is a scale and a shift.

    It folds into the convolution before it.
    """

    def __init__(self, num_channels: int, eps: float = 1e-5) -> None:
        """Mean 0 and variance 1, scale 1 and shift 0."""
        super().__init__(num_channels, eps=eps, momentum=0.0)

    def forward(self, input: Tensor) -> Tensor:
        """Maps [b, c, h, w] to the same shape."""
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


def norm_layer(kind: NormKind, num_channels: int, affine: bool = False, eps: float = 1e-5) -> nn.Module:
    """Instance norm without running statistics; batch norm or frozen norm, which are always affine.

    Args:
        kind: Which of them.
        num_channels: Width of its input [b, num_channels, h, w].
        affine: Whether an instance norm has a scale and a shift.
        eps: What is added to the variance.
    """
    if kind == "batch":
        return nn.BatchNorm2d(num_channels, eps=eps)
    if kind == "frozen":
        return FrozenNorm(num_channels, eps)
    return nn.InstanceNorm2d(num_channels, affine=affine, eps=eps)


def bias_before(kind: NormKind) -> bool:
    """Whether a convolution followed by this norm has a bias: not before a batch norm, by convention."""
    return kind != "batch"


class SeparableConv(nn.Module):
    """Depthwise 3x3 convolution, norm, pointwise convolution; both with bias, but none before a batch norm.

    Source: Li et al., GAN Compression, CVPR 2020 (the MobileNet-style generator: reflection padding, instance norm).
    """

    def __init__(
        self, in_channels: int, out_channels: int, padding: Padding = "reflect", norm: NormKind = "instance"
    ) -> None:
        """Maps [b, in_channels, h, w] to [b, out_channels, h, w]."""
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
        """Maps [b, in_channels, h, w] to [b, out_channels, h, w]."""
        return self.pointwise(self.norm(self.depthwise(features)))


class _SpectralNormOfAnyDevice(_SpectralNorm):
    """PyTorch's spectral norm, which on the meta device leaves out the power method: there are no numbers to iterate.

    A network without weights is built to read a checkpoint, and would take longer for these than for all else.
    """

    def _power_method(self, weight_mat: Tensor, n_power_iterations: int) -> None:
        if not weight_mat.is_meta:
            super()._power_method(weight_mat, n_power_iterations)


def spectrally_normed(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """Divides a layer's weight by its largest singular value, estimated by the power method, in place.

    Source: Miyato et al., Spectral Normalization, ICLR 2018, algorithm 1.
    """
    register_parametrization(layer, "weight", _SpectralNormOfAnyDevice(layer.weight))
    return layer


def init_weights(network: nn.Module) -> None:
    """Draws every convolution's weight from N(0, 0.02) and sets its bias to 0, in place.

    Source: Zhu et al., CycleGAN, ICCV 2017, appendix 7.1.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def taps_of_residual_stages(encoder: str, num_blocks: int) -> tuple[str, ...]:
    """Paths of the encoder's end and of the last block of each third of ``blocks``."""
    ends = sorted({max(0, num_blocks * third // 3 - 1) for third in (1, 2, 3)})
    return (encoder, *(f"blocks.{i}" for i in ends))
