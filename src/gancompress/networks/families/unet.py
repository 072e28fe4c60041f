"""The U-Net generator of pix2pix."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.networks.config import Count, FamilyConfig, Rate
from gancompress.networks.family import Family
from gancompress.networks.layers import NormKind, bias_before, init_weights, named_layers, norm_layer
from gancompress.networks.layout import Layout, dimension, num_indexed, own_names, tensor_names
from gancompress.networks.state import Shapes


class UnetConfig(FamilyConfig):
    """Configuration of a `UnetGenerator`.

    Channel groups: ``down.{i}.conv`` for i = 0 (outermost) to num_downs - 1 (innermost) and ``up.{j}.conv`` for j = 0
    (innermost) to num_downs - 2; the outermost transposed convolution is ``head.conv``, which returns the image.

    Attributes:
        out_channels: Channels of the output image.
        ngf: Base width: down stages ngf, 2 ngf, 4 ngf, then 8 ngf; up stages mirror them.
        num_downs: Number of stride-2 stages; images are divisible by 2 ** num_downs.
        norm: Kind of norm. Convolutions before an instance norm have a bias, those before a batch norm have none.
        dropout: Dropout rate of the inner 8 ngf up stages while training, in [0, 1); 0.5 in pix2pix.
    """

    reference_group: ClassVar[str] = "down.0.conv"
    loadable_widths: ClassVar[tuple[str, ...]] = ("ngf",)

    out_channels: Count = 3
    ngf: Count = 64
    num_downs: Annotated[int, Field(ge=2)] = 8
    norm: NormKind = "batch"
    dropout: Rate = 0.0

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Taps: two down stages and two up stages. Source: Ren et al., OMGD, ICCV 2021, as released."""
        deep = self.num_downs >= 6
        return ("down.1", "down.3", f"up.{self.num_downs - 5}", f"up.{self.num_downs - 4}") if deep else ("down.1",)

    def default_widths(self) -> dict[str, int]:
        """Return the widths: ngf * min(2 ** i, 8) down, mirrored up."""
        down = [self.ngf * min(2**i, 8) for i in range(self.num_downs)]
        up = reversed(down[:-1])
        return {f"down.{i}.conv": width for i, width in enumerate(down)} | {
            f"up.{j}.conv": width for j, width in enumerate(up)
        }

    @property
    def size_multiple(self) -> int:
        """Divisor of the image size, because every stage halves it."""
        return 2**self.num_downs

    @property
    def min_size(self) -> int:
        """Smallest image size: one pixel at the innermost stage."""
        return self.size_multiple


class UnetGenerator(nn.Module):
    """Stride-2 convolutions down to the innermost stage, transposed ones up, with a skip connection at every size.

    Images are [-1, 1], RGB, NCHW; height and width divisible by 2 ** num_downs. The output has the input's size.

    Source: Isola et al., pix2pix, CVPR 2017, appendix 6.1.1.
    """

    def __init__(self, config: UnetConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        width, bias, innermost = config.group_widths(), bias_before(config.norm), config.num_downs - 1
        down = [width[f"down.{i}.conv"] for i in range(config.num_downs)]
        up = [width[f"up.{j}.conv"] for j in range(innermost)]
        # Input width of each up stage: the stage below, plus the skip connection if there is one.
        up_inputs = [down[-1]] + [skip + below for skip, below in zip(reversed(down[:-1]), up, strict=True)]

        def down_stage(i: int) -> nn.Sequential:
            conv = nn.Conv2d(config.in_channels if i == 0 else down[i - 1], down[i], 4, 2, 1, bias=bias)
            if i == 0:
                return named_layers(conv=conv)
            if i == innermost:
                return named_layers(act=nn.LeakyReLU(0.2), conv=conv)
            return named_layers(act=nn.LeakyReLU(0.2), conv=conv, norm=norm_layer(config.norm, down[i]))

        def up_stage(j: int) -> nn.Sequential:
            conv = nn.ConvTranspose2d(up_inputs[j], up[j], 4, 2, 1, bias=bias)
            norm = norm_layer(config.norm, up[j])
            dropout = nn.Dropout(config.dropout if 1 <= j <= config.num_downs - 5 else 0.0)
            return named_layers(act=nn.ReLU(), conv=conv, norm=norm, dropout=dropout)

        self.down = nn.ModuleList(down_stage(i) for i in range(config.num_downs))
        self.up = nn.ModuleList(up_stage(j) for j in range(innermost))
        last = nn.ConvTranspose2d(up_inputs[-1], config.out_channels, 4, 2, 1)
        self.head = named_layers(act=nn.ReLU(), conv=last, tanh=nn.Tanh())
        init_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map an image [b, in_channels, h, w] to an image [b, out_channels, h, w] in [-1, 1]."""
        skips = []
        features = image
        for stage in self.down:
            features = stage(features)
            skips.append(features)
        features = skips.pop()
        for stage in self.up:
            features = torch.cat([skips.pop(), stage(features)], dim=1)
        return self.head(features)


def _infer(shapes: Shapes) -> UnetConfig:
    return UnetConfig(
        in_channels=dimension(shapes, "down.0.conv.weight", 1, default=3),
        out_channels=dimension(shapes, "head.conv.weight", 1, default=3),
        num_downs=max(2, num_indexed(shapes, "down.")),
        norm="instance" if "down.0.conv.bias" in shapes else "batch",
    )


def _nested_names(names: Collection[str]) -> dict[str, str]:
    """Return the table of names: ``model.model`` is the outermost stage, and every stage contains the next one."""
    nested = [name.split(".").count("model") for name in names if name.startswith("model.model.")]
    num_downs = max(nested, default=0) - 1
    if not 2 <= num_downs <= len(nested):
        return {}
    path = "model.model"
    modules = {f"{path}.0": "down.0.conv", f"{path}.3": "head.conv"}
    for i in range(1, num_downs):
        path = f"{path}.1.model" if i == 1 else f"{path}.3.model"
        up = num_downs - 1 - i
        if up == 0:
            modules |= {f"{path}.1": f"down.{i}.conv", f"{path}.3": "up.0.conv", f"{path}.4": "up.0.norm"}
        else:
            modules |= {f"{path}.1": f"down.{i}.conv", f"{path}.2": f"down.{i}.norm"}
            modules |= {f"{path}.5": f"up.{up}.conv", f"{path}.6": f"up.{up}.norm"}
    return tensor_names(modules)


_LAYOUTS = (
    Layout("gancompress", own_names, _infer),
    Layout("pix2pix", _nested_names, _infer),
)

FAMILIES = (
    Family("unet_128", UnetGenerator, UnetConfig, {"num_downs": 7}, layouts=_LAYOUTS),
    Family("unet_256", UnetGenerator, UnetConfig, {"num_downs": 8}, layouts=_LAYOUTS),
    Family("unet", UnetGenerator, UnetConfig, layouts=_LAYOUTS),
)
