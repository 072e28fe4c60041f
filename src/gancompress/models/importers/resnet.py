"""ResNet generators: CycleGAN and pix2pix (junyanz), GAN Compression (dense, mobile, sub, legacy), GAN
Slimming."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import partial

from gancompress.models.importers.layout import Layout, dimension, num_indexed, own_names, tensor_names
from gancompress.models.resnet import ResnetConfig
from gancompress.models.state import Shapes

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
    """One flat sequence; ``second_conv`` is the index of a block's second convolution: 6 after a dropout,
    else 5."""
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


LAYOUTS = (
    Layout("gancompress", ResnetConfig, own_names, _infer),
    Layout("CycleGAN or GAN Slimming", ResnetConfig, partial(_sequential_names, second_conv=5), _infer),
    Layout(
        "CycleGAN with dropout or GAN Compression",
        ResnetConfig,
        partial(_sequential_names, second_conv=6),
        _infer,
    ),
)
