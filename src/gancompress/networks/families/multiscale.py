"""The multi-scale discriminator of pix2pixHD and SPADE."""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor, nn

from gancompress.networks.config import Count, FamilyConfig
from gancompress.networks.family import Family
from gancompress.networks.layers import init_weights, named_layers, spectrally_normed
from gancompress.networks.layout import Layout, dimension, num_indexed, own_names
from gancompress.networks.state import Shapes


class MultiscalePatchGanConfig(FamilyConfig):
    """Configuration of a `MultiscalePatchGan`.

    Channel groups: ``scales.{s}.layers.{i}.conv`` for i = 0 to n_layers. Every feature map is returned, so a channel
    graph leaves them all at full width.

    Attributes:
        in_channels: Channels of label map and image together; 39 for Cityscapes.
        ndf: Base width.
        n_layers: Number of stride-2 convolutions of each scale.
        num_scales: Number of discriminators; each gets the image at half the size of the previous one.
        spectral_norm: Whether the convolutions before an instance norm are spectrally normed.
    """

    base_width: ClassVar[str] = "ndf"
    reference_group: ClassVar[str] = "scales.0.layers.0.conv"

    in_channels: Count = 39
    ndf: Count = 64
    n_layers: Count = 3
    num_scales: Count = 2
    spectral_norm: bool = True

    def default_widths(self) -> dict[str, int]:
        """Return the widths: ndf * min(2 ** i, 8) at every scale."""
        return {
            f"scales.{s}.layers.{i}.conv": self.ndf * min(2**i, 8)
            for s in range(self.num_scales)
            for i in range(self.n_layers + 1)
        }

    @property
    def min_size(self) -> int:
        """Smallest image size: an instance norm at the smallest scale needs more than one pixel."""
        return 2 ** (self.num_scales - 1) + 1


class PatchScale(nn.Module):
    """4x4 convolutions, padded by 2: n_layers of them with stride 2, one with stride 1, and one for the logits.

    All but the first and the last are spectrally normed, without bias, and followed by an instance norm.
    """

    def __init__(self, in_channels: int, widths: list[int], spectral_norm: bool) -> None:
        """Build the layers from [b, in_channels, h, w] through ``widths`` to one channel of logits."""
        super().__init__()

        def layer(i: int) -> nn.Sequential:
            stride = 2 if i < len(widths) - 1 else 1
            if i == 0:
                return named_layers(conv=nn.Conv2d(in_channels, widths[0], 4, stride, 2), act=nn.LeakyReLU(0.2))
            conv = nn.Conv2d(widths[i - 1], widths[i], 4, stride, 2, bias=False)
            return named_layers(conv=conv, norm=nn.InstanceNorm2d(widths[i]), act=nn.LeakyReLU(0.2))

        self.layers = nn.Sequential(*(layer(i) for i in range(len(widths))))
        self.head = named_layers(conv=nn.Conv2d(widths[-1], 1, 4, 1, 2))
        init_weights(self)
        if spectral_norm:
            for i in range(1, len(widths)):
                spectrally_normed(cast(nn.Conv2d, self.get_submodule(f"layers.{i}.conv")))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the feature map of every layer [b, c, h', w'], the logits [b, 1, h', w'] last."""
        maps = [image]
        for layer in (*self.layers, self.head):
            maps.append(layer(maps[-1]))
        return maps[1:]


class MultiscalePatchGan(nn.Module):
    """The same discriminator, with separate weights, at the image's size, half of it, and so on.

    Input: label map and image [-1, 1] concatenated in the channels, NCHW. Spectral norm is a parametrization and is
    kept: a saved, loaded or copied discriminator continues training from the same estimate of it.

    Source: Wang et al., pix2pixHD, CVPR 2018, section 3.2; spectral norm: Park et al., SPADE, CVPR 2019, appendix A.
    """

    def __init__(self, config: MultiscalePatchGanConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        widths = list(config.group_widths().values())
        depth = config.n_layers + 1
        self.scales = nn.ModuleList(
            PatchScale(config.in_channels, widths[s * depth : (s + 1) * depth], config.spectral_norm)
            for s in range(config.num_scales)
        )
        self.halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, image: Tensor) -> list[list[Tensor]]:
        """Map [b, in_channels, h, w] to the feature maps of each scale, its logits last, as the losses expect them."""
        results = []
        for s, scale in enumerate(self.scales):
            image = self.halve(image) if s else image
            results.append(scale(image))
        return results


def _infer(shapes: Shapes) -> MultiscalePatchGanConfig:
    return MultiscalePatchGanConfig(
        in_channels=dimension(shapes, "scales.0.layers.0.conv.weight", 1, default=3),
        n_layers=max(1, num_indexed(shapes, "scales.0.layers.") - 1),
        num_scales=num_indexed(shapes, "scales."),
        spectral_norm=any(".parametrizations." in name for name in shapes),
    )


FAMILIES = (
    Family(
        "multiscale_patchgan",
        MultiscalePatchGan,
        MultiscalePatchGanConfig,
        role="discriminator",
        layouts=(Layout("gancompress", own_names, _infer),),
    ),
)
