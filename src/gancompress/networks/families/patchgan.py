"""Discriminators for training image-to-image generators."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import ClassVar

from torch import Tensor, nn

from gancompress.networks.config import Count, FamilyConfig
from gancompress.networks.family import Family
from gancompress.networks.layers import NormKind, bias_before, init_weights, named_layers, norm_layer
from gancompress.networks.layout import Layout, dimension, num_indexed, own_names, tensor_names
from gancompress.networks.state import Shapes


class PixelGanConfig(FamilyConfig):
    """Configuration of a `PixelGan`. Channel groups: ``layers.0.conv``, ``layers.1.conv``.

    Attributes:
        ndf: Base width.
        norm: Kind of norm. Convolutions before an instance norm have a bias, those before a batch norm have none.
    """

    base_width: ClassVar[str] = "ndf"
    reference_group: ClassVar[str] = "layers.0.conv"

    ndf: Count = 64
    norm: NormKind = "instance"

    def default_widths(self) -> dict[str, int]:
        """Return the widths ndf and 2 ndf."""
        return {"layers.0.conv": self.ndf, "layers.1.conv": 2 * self.ndf}

    @property
    def min_size(self) -> int:
        """Smallest image size: an instance norm needs more than one pixel."""
        return 2


class PatchGanConfig(PixelGanConfig):
    """Configuration of a `PatchGan`. Channel groups: ``layers.{i}.conv`` for i = 0 to n_layers.

    Attributes:
        n_layers: Number of stride-2 convolutions; with 3 the receptive field is 70x70 pixels.
        affine: Whether instance norms have a scale and a shift, as in GAN Slimming. Batch norms always have them.
        global_average: Whether the map of logits is averaged to one logit per image, as in GAN Slimming.
    """

    n_layers: Count = 3
    affine: bool = False
    global_average: bool = False

    def default_widths(self) -> dict[str, int]:
        """Return the widths ndf * min(2 ** i, 8)."""
        return {f"layers.{i}.conv": self.ndf * min(2**i, 8) for i in range(self.n_layers + 1)}

    @property
    def min_size(self) -> int:
        """Smallest image size: three pixels before the two stride-1 convolutions, which leave one logit."""
        return 3 * 2**self.n_layers


class PatchGan(nn.Module):
    """4x4 convolutions: n_layers of them with stride 2, one with stride 1, and one more for the logits.

    Input [-1, 1], NCHW, in the colour order of the generator; at least 3 * 2 ** n_layers pixels each way.

    Source: Isola et al., pix2pix, CVPR 2017, appendix 6.1.2. Affine and averaged: Wang et al., GAN Slimming, ECCV 2020.
    """

    def __init__(self, config: PatchGanConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        width = [config.in_channels, *config.group_widths().values()]

        def layer(i: int) -> nn.Sequential:
            stride, cout = 2 if i < config.n_layers else 1, width[i + 1]
            if i == 0:
                return named_layers(conv=nn.Conv2d(width[0], cout, 4, stride, 1), act=nn.LeakyReLU(0.2))
            conv = nn.Conv2d(width[i], cout, 4, stride, 1, bias=bias_before(config.norm))
            norm = norm_layer(config.norm, cout, config.affine)
            return named_layers(conv=conv, norm=norm, act=nn.LeakyReLU(0.2))

        self.global_average = config.global_average
        self.layers = nn.Sequential(*(layer(i) for i in range(config.n_layers + 1)))
        self.head = named_layers(conv=nn.Conv2d(width[-1], 1, 4, 1, 1))
        init_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to logits [b, 1, h', w'], or [b, 1] with ``global_average``."""
        logits = self.head(self.layers(image))
        return logits.mean(dim=(2, 3)) if self.global_average else logits


class PixelGan(nn.Module):
    """1x1 convolutions: one logit for every pixel, from that pixel alone.

    Input [-1, 1], NCHW, in the colour order of the generator.

    Source: Isola et al., pix2pix, CVPR 2017, section 4.4.
    """

    def __init__(self, config: PixelGanConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        first, second = config.group_widths().values()
        # The published weights use the bias convention for the last convolution too, although no norm follows it.
        bias = bias_before(config.norm)
        self.layers = nn.Sequential(
            named_layers(conv=nn.Conv2d(config.in_channels, first, 1), act=nn.LeakyReLU(0.2)),
            named_layers(
                conv=nn.Conv2d(first, second, 1, bias=bias),
                norm=norm_layer(config.norm, second),
                act=nn.LeakyReLU(0.2),
            ),
        )
        self.head = named_layers(conv=nn.Conv2d(second, 1, 1, bias=bias))
        init_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map [b, in_channels, h, w] to logits [b, 1, h, w]."""
        return self.head(self.layers(image))


_INDEX = re.compile(r"model\.(\d+)\.(?:weight|bias)")


def _infer_patch(shapes: Shapes) -> PatchGanConfig:
    # Among the published programs only GAN Slimming has affine instance norms, and it averages the logits.
    affine = not _has_batch_norm(shapes) and "layers.1.norm.weight" in shapes
    return PatchGanConfig(
        in_channels=dimension(shapes, "layers.0.conv.weight", 1, default=3),
        n_layers=max(1, num_indexed(shapes, "layers.") - 1),
        norm="batch" if _has_batch_norm(shapes) else "instance",
        affine=affine,
        global_average=affine,
    )


def _infer_pixel(shapes: Shapes) -> PixelGanConfig:
    return PixelGanConfig(
        in_channels=dimension(shapes, "layers.0.conv.weight", 1, default=3),
        norm="batch" if _has_batch_norm(shapes) else "instance",
    )


def _has_batch_norm(shapes: Shapes) -> bool:
    return "layers.1.norm.weight" in shapes and "layers.1.conv.bias" not in shapes


def _patch_names(names: Collection[str]) -> dict[str, str]:
    """Return the table of names: ``model.0``, then groups of convolution, norm and activation from ``model.2`` on."""
    last = max((int(found[1]) for name in names if (found := _INDEX.match(name))), default=0)
    n_layers, between = divmod(last - 2, 3)
    if between or not 1 <= n_layers <= len(names):
        return {}
    modules = {"model.0": "layers.0.conv", f"model.{last}": "head.conv"}
    for i in range(1, n_layers + 1):
        modules |= {f"model.{3 * i - 1}": f"layers.{i}.conv", f"model.{3 * i}": f"layers.{i}.norm"}
    return tensor_names(modules)


def _pixel_names(names: Collection[str]) -> dict[str, str]:
    """Return the table of names: ``net.0``, ``net.2`` with the norm ``net.3``, ``net.5``."""
    if not any(name.startswith("net.") for name in names):
        return {}
    return tensor_names(
        {"net.0": "layers.0.conv", "net.2": "layers.1.conv", "net.3": "layers.1.norm", "net.5": "head.conv"}
    )


FAMILIES = (
    Family(
        "patchgan",
        PatchGan,
        PatchGanConfig,
        role="discriminator",
        layouts=(
            Layout("gancompress", own_names, _infer_patch),
            Layout("CycleGAN, pix2pix or GAN Slimming", _patch_names, _infer_patch),
        ),
    ),
    Family(
        "pixelgan",
        PixelGan,
        PixelGanConfig,
        role="discriminator",
        layouts=(
            Layout("gancompress", own_names, _infer_pixel),
            Layout("CycleGAN or pix2pix", _pixel_names, _infer_pixel),
        ),
    ),
)
