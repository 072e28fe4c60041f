"""The ResNet generator of CycleGAN, its separable variant, and every narrower network of both."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import partial
from itertools import pairwise
from typing import ClassVar, Literal

from torch import Tensor, nn

from gancompress.channels.slots import Slot
from gancompress.errors import PlanError
from gancompress.networks.config import Count, FamilyConfig, Rate
from gancompress.networks.family import Family
from gancompress.networks.layers import (
    NormKind,
    Padding,
    SeparableConv,
    bias_before,
    init_weights,
    named_layers,
    norm_layer,
    taps_of_residual_stages,
)
from gancompress.networks.layout import Layout, dimension, num_indexed, own_names, tensor_names
from gancompress.networks.state import Shapes


class ResnetConfig(FamilyConfig):
    """Configuration of a `ResnetGenerator`.

    Channel groups: ``stem.conv``, ``down.0.conv``, ``down.1.conv`` (the residual stream, which the second
    convolution of every block shares), ``blocks.{i}.conv1`` (``blocks.{i}.conv1.pointwise`` when separable),
    ``up.0.conv``, ``up.1.conv``.

    Attributes:
        out_channels: Channels of the output image.
        ngf: Base width: stem ngf, residual stream and block middles 4 ngf.
        num_blocks: Number of residual blocks.
        separable: Whether the convolutions of the residual blocks are separable.
        norm: Kind of norm. Convolutions before an instance norm have a bias, those before a batch norm have none.
        affine_norms: Instance norms with a scale and a shift: those of the channels that GAN Slimming prunes (all but
            the residual stream's), all, or none. Batch norms and frozen ones always have them.
        dropout: Dropout rate inside the residual blocks while training, in [0, 1).
        separable_norm: Kind of norm between the two convolutions of a separable one. A batch norm folds away.
        padding: Padding of stride-1 convolutions.
        stem_kernel: Size of the first convolution.
        tail_kernel: Size of the last convolution.
        tail: ``full_size`` ends at the size of the image; ``half_size`` computes the second up stage (a 3x3 convolution
            then) and the last convolution at half of it, and shuffles four times the channels into pixels. Convolutions
            to three channels leave most of a vector unit idle, and transposed convolutions are slow.
    """

    reference_group: ClassVar[str] = "down.1.conv"
    loadable_widths: ClassVar[tuple[str, ...]] = ("ngf",)
    written_forms: ClassVar[tuple[str, ...]] = ("slots8", "slimming", "legacy8")

    out_channels: Count = 3
    ngf: Count = 64
    num_blocks: Count = 9
    separable: bool = False
    norm: NormKind = "instance"
    affine_norms: Literal["none", "prunable", "all"] = "none"
    dropout: Rate = 0.0
    separable_norm: NormKind = "instance"
    padding: Padding = "reflect"
    stem_kernel: Literal[3, 5, 7] = 7
    tail_kernel: Literal[3, 5, 7] = 7
    tail: Literal["full_size", "half_size"] = "full_size"

    @property
    def block_groups(self) -> list[str]:
        """Names of the middle channel groups of the blocks."""
        suffix = ".pointwise" if self.separable else ""
        return [f"blocks.{i}.conv1{suffix}" for i in range(self.num_blocks)]

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Taps after the encoder and after each third of the blocks. Source: GAN Compression, as released."""
        return taps_of_residual_stages("down.1", self.num_blocks)

    def slots(self, form: str) -> tuple[Slot, ...]:
        """Return the channel groups of each number of a plan string.

        Source: Li et al., GAN Compression, CVPR 2020 (released networks; ``legacy`` are those of the paper); Wang et
        al., GAN Slimming, ECCV 2020 (``slimming``, in which the stream has no number).

        Raises:
            PlanError: There is no such form, or it needs three blocks and the network has fewer.
        """
        if form == "slimming":
            return tuple(Slot(group, (group,)) for group in self.default_widths() if group != self.reference_group)
        if form not in ("slots8", "slots6", "legacy8", "legacy6"):
            return super().slots(form)
        blocks = self.block_groups
        thirds = _thirds(blocks)
        if form in ("legacy8", "legacy6"):
            thirds = [third[:1] for third in thirds]
        own = [block for third in thirds for block in third]
        middles = thirds if form in ("slots8", "legacy8") else [own]
        as_wide_as_stream = [block for block in blocks if block not in own]
        numbers = [
            (("stem.conv",), 1),
            (("down.0.conv",), 2),
            ((self.reference_group, *as_wide_as_stream), 4),
            *((tuple(middle), 4) for middle in middles),
            (("up.0.conv",), 2),
            (("up.1.conv",), 1),
        ]
        return tuple(Slot(f"c{i}", groups, multiplier) for i, (groups, multiplier) in enumerate(numbers))

    def string_forms(self, *, legacy: bool) -> dict[int, str]:
        """Return the forms of plan strings by their number of numbers."""
        if legacy:
            return {8: "legacy8", 6: "legacy6"}
        return {len(self.slots("slimming")): "slimming", 8: "slots8", 6: "slots6"}

    def default_widths(self) -> dict[str, int]:
        """Return the widths: ngf, 2 ngf, 4 ngf down, 4 ngf in the blocks, 2 ngf, ngf up."""
        down = {"stem.conv": self.ngf, "down.0.conv": 2 * self.ngf, "down.1.conv": 4 * self.ngf}
        up = {"up.0.conv": 2 * self.ngf, "up.1.conv": self.ngf}
        return down | dict.fromkeys(self.block_groups, 4 * self.ngf) | up

    @property
    def size_multiple(self) -> int:
        """Divisor of the image size, from two stride-2 stages."""
        return 4

    @property
    def min_size(self) -> int:
        """Smallest image size: reflection padding in the blocks needs two pixels at a quarter of the size."""
        return 8


def _thirds(blocks: list[str]) -> list[list[str]]:
    """Split blocks into three runs of nearly equal length."""
    if len(blocks) < 3:
        raise PlanError(f"plan: got a network of {len(blocks)} blocks, expected at least 3; give widths by group name")
    ends = [len(blocks) * i // 3 for i in range(4)]
    return [blocks[start:end] for start, end in pairwise(ends)]


class ResidualBlock(nn.Module):
    """``x + norm2(conv2(dropout(relu(norm1(conv1(x))))))``, no activation after the sum."""

    def __init__(self, stream: int, middle: int, config: ResnetConfig) -> None:
        """Build a block from [b, stream, h, w] to the same shape through ``middle`` channels."""
        super().__init__()
        self.conv1 = _block_conv(stream, middle, config)
        self.norm1 = norm_layer(config.norm, middle, affine=config.affine_norms != "none")
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = _block_conv(middle, stream, config)
        self.norm2 = norm_layer(config.norm, stream, affine=config.affine_norms == "all")

    def forward(self, stream: Tensor) -> Tensor:
        """Map [b, stream, h, w] to the same shape."""
        middle = self.dropout(self.act(self.norm1(self.conv1(stream))))
        return stream + self.norm2(self.conv2(middle))


class ResnetGenerator(nn.Module):
    """7x7 stem, two stride-2 convolutions, residual blocks, two transposed convolutions, 7x7 head, tanh.

    Options adapt it to a runtime: other kernels, padding and norms, and a tail at half size.

    Images are [-1, 1], RGB, NCHW; height and width divisible by 4, at least 8. The output has the input's size.

    Source: Johnson et al., ECCV 2016; Zhu et al., CycleGAN, ICCV 2017, appendix 7.2. Separable blocks: Li et al.,
    GAN Compression, CVPR 2020. Affine instance norms: Wang et al., GAN Slimming, ECCV 2020.
    """

    def __init__(self, config: ResnetConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        width = config.group_widths()
        stem, down, stream = width["stem.conv"], width["down.0.conv"], width["down.1.conv"]
        up, last = width["up.0.conv"], width["up.1.conv"]
        prunable, stream_affine = config.affine_norms != "none", config.affine_norms == "all"
        bias = bias_before(config.norm)

        def stage(conv: nn.Module, num_channels: int, affine: bool) -> nn.Sequential:
            return named_layers(conv=conv, norm=norm_layer(config.norm, num_channels, affine), act=nn.ReLU())

        def down_conv(cin: int, cout: int) -> nn.Conv2d:
            return nn.Conv2d(cin, cout, 3, stride=2, padding=1, bias=bias)

        def up_conv(cin: int, cout: int) -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(cin, cout, 3, stride=2, padding=1, output_padding=1, bias=bias)

        half = config.tail == "half_size"
        second_up = _same_conv(up, last, 3, bias, config) if half else up_conv(up, last)
        self.stem = stage(_same_conv(config.in_channels, stem, config.stem_kernel, bias, config), stem, prunable)
        self.down = nn.Sequential(
            stage(down_conv(stem, down), down, prunable),
            stage(down_conv(down, stream), stream, stream_affine),
        )
        self.blocks = nn.Sequential(*(ResidualBlock(stream, width[group], config) for group in config.block_groups))
        self.up = nn.Sequential(
            stage(up_conv(stream, up), up, prunable),
            stage(second_up, last, prunable),
        )
        drawn = config.out_channels * (4 if half else 1)
        to_image = _same_conv(last, drawn, config.tail_kernel, True, config)
        shuffle: dict[str, nn.Module] = {"shuffle": nn.PixelShuffle(2)} if half else {}
        self.head = named_layers(conv=to_image, **shuffle, act=nn.Tanh())
        init_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map an image [b, in_channels, h, w] to an image [b, out_channels, h, w] in [-1, 1]."""
        return self.head(self.up(self.blocks(self.down(self.stem(image)))))


def _same_conv(in_channels: int, out_channels: int, kernel: int, bias: bool, config: ResnetConfig) -> nn.Conv2d:
    """Return a convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, padding_mode=config.padding, bias=bias)


def _block_conv(in_channels: int, out_channels: int, config: ResnetConfig) -> nn.Module:
    if config.separable:
        return SeparableConv(in_channels, out_channels, config.padding, config.separable_norm)
    return _same_conv(in_channels, out_channels, 3, bias_before(config.norm), config)


_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.")


def _infer(shapes: Shapes) -> ResnetConfig:
    batch = "stem.norm.weight" in shapes and "stem.conv.bias" not in shapes
    every_norm, stem_norm = "down.1.norm.weight" in shapes, "stem.norm.weight" in shapes
    return ResnetConfig(
        in_channels=dimension(shapes, "stem.conv.weight", 1, default=3),
        out_channels=dimension(shapes, "head.conv.weight", 0, default=3),
        num_blocks=num_indexed(shapes, "blocks."),
        separable=any(".depthwise." in name for name in shapes),
        norm="batch" if batch else "instance",
        affine_norms="none" if batch or not stem_norm else "all" if every_norm else "prunable",
    )


def _sequential_names(names: Collection[str], second_conv: int) -> dict[str, str]:
    """Return the table of names of one flat sequence.

    ``second_conv`` is the index of a block's second convolution: 6 after a dropout, else 5.
    """
    num_blocks = len({found[1] for name in names if (found := _BLOCK.match(name))})
    if not num_blocks:
        return {}
    after = 10 + num_blocks
    stages = {
        1: "stem",
        4: "down.0",
        7: "down.1",
        after: "up.0",
        after + 3: "up.1",
        after + 7: "head",
    }
    modules = {f"model.{index}": f"{stage}.conv" for index, stage in stages.items()}
    modules |= {f"model.{index + 1}": f"{stage}.norm" for index, stage in stages.items() if stage != "head"}
    for i in range(num_blocks):
        for k, index in ((1, 1), (2, second_conv)):
            theirs = f"model.{10 + i}.conv_block"
            modules[f"{theirs}.{index}"] = f"blocks.{i}.conv{k}"
            modules[f"{theirs}.{index}.conv.0"] = f"blocks.{i}.conv{k}.depthwise"
            modules[f"{theirs}.{index}.conv.2"] = f"blocks.{i}.conv{k}.pointwise"
            modules[f"{theirs}.{index + 1}"] = f"blocks.{i}.norm{k}"
    return tensor_names(modules)


_LAYOUTS = (
    Layout("gancompress", own_names, _infer),
    Layout("CycleGAN or GAN Slimming", partial(_sequential_names, second_conv=5), _infer),
    Layout("CycleGAN with dropout or GAN Compression", partial(_sequential_names, second_conv=6), _infer),
)
"""CycleGAN and pix2pix (junyanz), GAN Compression (dense, mobile, sub, legacy), GAN Slimming."""

FAMILIES = tuple(
    Family(name, ResnetGenerator, ResnetConfig, preset, layouts=_LAYOUTS)
    for name, preset in (
        ("resnet_6blocks", {"num_blocks": 6, "separable": False}),
        ("resnet_9blocks", {"num_blocks": 9, "separable": False}),
        ("mobile_resnet_6blocks", {"num_blocks": 6, "separable": True}),
        ("mobile_resnet_9blocks", {"num_blocks": 9, "separable": True}),
        ("resnet", {}),
    )
)
