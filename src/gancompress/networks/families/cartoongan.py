"""The CartoonGAN generator."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import ClassVar, Literal

from torch import Tensor, nn

from gancompress.networks.config import Count, FamilyConfig
from gancompress.networks.family import Family
from gancompress.networks.layers import init_weights, named_layers, norm_layer, taps_of_residual_stages
from gancompress.networks.layout import Layout, dimension, num_indexed, own_names
from gancompress.networks.state import Shapes


class CartoonGanConfig(FamilyConfig):
    """Configuration of a `CartoonGanGenerator`.

    Channel groups: ``stem.conv``, ``down.{0,1}.conv1``, ``down.{0,1}.conv2`` (``down.1.conv2`` is the
    residual stream, which the second convolution of every block shares), ``blocks.{i}.conv1``,
    ``up.{0,1}.conv1``, ``up.{0,1}.conv2``.

    Attributes:
        out_channels: Channels of the output image.
        ngf: Base width: stem ngf, residual stream and block middles 4 ngf.
        num_blocks: Number of residual blocks.
        norm: Kind of norm.
    """

    reference_group: ClassVar[str] = "down.1.conv2"

    out_channels: Count = 3
    ngf: Count = 64
    num_blocks: Count = 8
    norm: Literal["instance", "frozen"] = "instance"

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Taps after the encoder and after each third of the blocks."""
        return taps_of_residual_stages("down.1", self.num_blocks)

    def default_widths(self) -> dict[str, int]:
        """Return the widths: ngf, 2 ngf, 4 ngf down, 4 ngf in the blocks, 2 ngf, ngf up."""
        ngf = self.ngf
        down = {
            "down.0.conv1": 2 * ngf,
            "down.0.conv2": 2 * ngf,
            "down.1.conv1": 4 * ngf,
            "down.1.conv2": 4 * ngf,
        }
        blocks = {f"blocks.{i}.conv1": 4 * ngf for i in range(self.num_blocks)}
        up = {"up.0.conv1": 2 * ngf, "up.0.conv2": 2 * ngf, "up.1.conv1": ngf, "up.1.conv2": ngf}
        return {"stem.conv": ngf} | down | blocks | up

    @property
    def size_multiple(self) -> int:
        """Divisor of the image size, from two stride-2 stages."""
        return 4

    @property
    def min_size(self) -> int:
        """Smallest image size: reflection padding in the blocks needs two pixels at a quarter of the size."""
        return 8


class ResidualBlock(nn.Module):
    """``x + norm2(conv2(relu(norm1(conv1(x)))))``, no activation after the sum."""

    def __init__(self, stream: int, middle: int, config: CartoonGanConfig) -> None:
        """Build a block from [b, stream, h, w] to the same shape through ``middle`` channels."""
        super().__init__()
        self.conv1 = nn.Conv2d(stream, middle, 3, padding=1, padding_mode="reflect")
        self.norm1 = _norm(config, middle)
        self.act = nn.ReLU()
        self.conv2 = nn.Conv2d(middle, stream, 3, padding=1, padding_mode="reflect")
        self.norm2 = _norm(config, stream)

    def forward(self, stream: Tensor) -> Tensor:
        """Map [b, stream, h, w] to the same shape."""
        return stream + self.norm2(self.conv2(self.act(self.norm1(self.conv1(stream)))))


class CartoonGanGenerator(nn.Module):
    """A ResNet generator with a second convolution at every size and an affine instance norm after each pair.

    Images are [-1, 1], RGB, NCHW; height and width divisible by 4, at least 8. The output has the
    input's size. Instance norms use the biased variance and an epsilon of 1e-9, as the published weights do.

    Source: Chen et al., CartoonGAN, CVPR 2018, section 3.1.
    """

    def __init__(self, config: CartoonGanConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        width = config.group_widths()
        stem, stream, last = width["stem.conv"], width["down.1.conv2"], width["up.1.conv2"]

        def down_stage(name: str, cin: int) -> nn.Sequential:
            middle, cout = width[f"{name}.conv1"], width[f"{name}.conv2"]
            halve = nn.Conv2d(cin, middle, 3, stride=2, padding=1)
            return _resampling(config, halve, nn.Conv2d(middle, cout, 3, padding=1))

        def up_stage(name: str, cin: int) -> nn.Sequential:
            middle, cout = width[f"{name}.conv1"], width[f"{name}.conv2"]
            double = nn.ConvTranspose2d(cin, middle, 3, stride=2, padding=1, output_padding=1)
            return _resampling(config, double, nn.Conv2d(middle, cout, 3, padding=1))

        wide = nn.Conv2d(config.in_channels, stem, 7, padding=3, padding_mode="reflect")
        self.stem = named_layers(conv=wide, norm=_norm(config, stem), act=nn.ReLU())
        self.down = nn.Sequential(down_stage("down.0", stem), down_stage("down.1", width["down.0.conv2"]))
        self.blocks = nn.Sequential(
            *(ResidualBlock(stream, width[f"blocks.{i}.conv1"], config) for i in range(config.num_blocks))
        )
        self.up = nn.Sequential(up_stage("up.0", stream), up_stage("up.1", width["up.0.conv2"]))
        wide = nn.Conv2d(last, config.out_channels, 7, padding=3, padding_mode="reflect")
        self.head = named_layers(conv=wide, act=nn.Tanh())
        init_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map an image [b, in_channels, h, w] to an image [b, out_channels, h, w] in [-1, 1]."""
        return self.head(self.up(self.blocks(self.down(self.stem(image)))))


def _norm(config: CartoonGanConfig, num_channels: int) -> nn.Module:
    return norm_layer(config.norm, num_channels, affine=True, eps=1e-9)


def _resampling(config: CartoonGanConfig, resample: nn.Module, conv: nn.Conv2d) -> nn.Sequential:
    return named_layers(conv1=resample, conv2=conv, norm=_norm(config, conv.out_channels), act=nn.ReLU())


_SECOND_CONV = re.compile(r"conv(\d\d)_2\.")
_FIRST_BLOCK = 4


def _infer(shapes: Shapes) -> CartoonGanConfig:
    return CartoonGanConfig(
        in_channels=dimension(shapes, "stem.conv.weight", 1, default=3),
        out_channels=dimension(shapes, "head.conv.weight", 0, default=3),
        num_blocks=num_indexed(shapes, "blocks."),
    )


def _numbered_names(names: Collection[str]) -> dict[str, str]:
    """Return the table of names of the published port.

    ``conv01_1`` is the stem, 02 and 03 go down, 04 and on are the blocks; norms are numbered on through the up stages.
    """
    numbers = {int(found[1]) for name in names if (found := _SECOND_CONV.match(name))}
    num_blocks = sum(number >= _FIRST_BLOCK for number in numbers)
    if not num_blocks:
        return {}
    after = _FIRST_BLOCK + num_blocks
    convs = {"conv01_1": "stem.conv", "deconv03_1": "head.conv"}
    norms = {"in01_1": "stem.norm"}
    for i in (0, 1):
        convs |= {f"conv{2 + i:02}_{k}": f"down.{i}.conv{k}" for k in (1, 2)}
        convs |= {f"deconv{1 + i:02}_{k}": f"up.{i}.conv{k}" for k in (1, 2)}
        norms |= {f"in{2 + i:02}_1": f"down.{i}.norm", f"in{after + i:02}_1": f"up.{i}.norm"}
    for i in range(num_blocks):
        convs |= {f"conv{_FIRST_BLOCK + i:02}_{k}": f"blocks.{i}.conv{k}" for k in (1, 2)}
        norms |= {f"in{_FIRST_BLOCK + i:02}_{k}": f"blocks.{i}.norm{k}" for k in (1, 2)}
    table = {f"{theirs}.{leaf}": f"{ours}.{leaf}" for theirs, ours in convs.items() for leaf in ("weight", "bias")}
    table |= {f"{theirs}.scale": f"{ours}.weight" for theirs, ours in norms.items()}
    return table | {f"{theirs}.shift": f"{ours}.bias" for theirs, ours in norms.items()}


def _to_rgb(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Convert the tensors of a network on BGR images to one on RGB images."""
    colours = {"conv01_1.weight": 1, "deconv03_1.weight": 0, "deconv03_1.bias": 0}
    turned = {name: tensors[name].flip(axis) for name, axis in colours.items() if name in tensors}
    return {**tensors, **turned}


_LAYOUTS = (
    Layout("gancompress", own_names, _infer),
    Layout("CartoonGAN", _numbered_names, _infer, _to_rgb),
)
"""The published PyTorch port has numbered convolutions and norms, and BGR images: on import its first and last
convolution are flipped, so that ours takes and returns RGB."""

FAMILIES = (Family("cartoongan", CartoonGanGenerator, CartoonGanConfig, layouts=_LAYOUTS),)
