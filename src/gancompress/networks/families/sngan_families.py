"""Families of SNGAN and their file layouts: own names, and AutoGAN's numbered blocks."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from itertools import pairwise

from gancompress.networks.families.sngan import SnganConfig, SnganGenerator
from gancompress.networks.families.sngan_discriminator import SnganDiscriminator, SnganDiscriminatorConfig
from gancompress.networks.family import Family
from gancompress.networks.layout import Layout, dimension, num_indexed, own_names, tensor_names
from gancompress.networks.state import Shapes

_NORMED = "parametrizations.weight"
_BLOCK = re.compile(r"block(\d+)\.")


def _infer_generator(shapes: Shapes) -> SnganConfig:
    num_blocks = num_indexed(shapes, "blocks.")
    streams = [dimension(shapes, f"blocks.{i}.conv2.weight", 0, default=1) for i in range(num_blocks)]
    bottom_width = dimension(shapes, "blocks.0.conv1.weight", 1, default=256)
    num_features, latent_size = _matrix(shapes, "stem.weight", default=(16 * bottom_width, 128))
    _, num_classes = _matrix(shapes, "blocks.0.norm1.scale.weight", default=(0, 0))
    return SnganConfig(
        out_channels=dimension(shapes, "head.conv.weight", 0, default=3),
        num_blocks=num_blocks,
        halving=num_blocks > 1 and all(wide == 2 * narrow for wide, narrow in pairwise(streams)),
        bottom_size=max(1, math.isqrt(num_features // bottom_width)),
        latent_size=latent_size,
        num_classes=num_classes,
    )


def _infer_discriminator(shapes: Shapes) -> SnganDiscriminatorConfig:
    original = f"{_NORMED}.original"
    num_blocks = num_indexed(shapes, "blocks.")
    num_downs = max(1, sum(f"blocks.{i}.shortcut.{original}" in shapes for i in range(num_blocks)))
    streams = [dimension(shapes, f"blocks.{i}.conv2.{original}", 0, default=1) for i in range(num_downs)]
    _, num_classes = _matrix(shapes, f"classes.{original}", default=(0, 0))
    return SnganDiscriminatorConfig(
        in_channels=dimension(shapes, f"blocks.0.conv1.{original}", 1, default=3) + num_classes,
        num_downs=num_downs,
        num_plain=num_blocks - num_downs,
        doubling=num_downs > 1 and all(wide == 2 * narrow for narrow, wide in pairwise(streams)),
        num_classes=num_classes,
    )


def _matrix(shapes: Shapes, name: str, default: tuple[int, int]) -> tuple[int, int]:
    shape = shapes.get(name, ())
    return (shape[0], max(1, shape[1])) if len(shape) == 2 else default


def _generator_names(names: Collection[str]) -> dict[str, str]:
    """Return the table of names: ``l1`` is the linear layer, blocks count from 2, the head has the next number."""
    blocks = _block_numbers(names)
    if "l1.weight" not in names or not blocks:
        return {}
    after = blocks[-1] + 1
    modules = {"l1": "stem", f"b{after}": "head.norm", f"c{after}": "head.conv"}
    for i, number in enumerate(blocks):
        theirs = {"b1": "norm1", "c1": "conv1", "b2": "norm2", "c2": "conv2", "c_sc": "shortcut"}
        modules |= {f"block{number}.{layer}": f"blocks.{i}.{ours}" for layer, ours in theirs.items()}
    return tensor_names(modules)


def _discriminator_names(names: Collection[str]) -> dict[str, str]:
    """Return the table of names: blocks count from 1, and spectral norm is PyTorch's older hook."""
    blocks = _block_numbers(names)
    if not blocks or "block1.c1.weight_orig" not in names:
        return {}
    modules = {f"l{blocks[-1] + 1}": "head"}
    for i, number in enumerate(blocks):
        theirs = {"c1": "conv1", "c2": "conv2", "c_sc": "shortcut"}
        modules |= {f"block{number}.{layer}": f"blocks.{i}.{ours}" for layer, ours in theirs.items()}
    leaves = {"bias": "bias", "weight_orig": f"{_NORMED}.original"}
    leaves |= {f"weight_{vector}": f"{_NORMED}.0._{vector}" for vector in ("u", "v")}
    return {f"{theirs}.{leaf}": f"{ours}.{other}" for theirs, ours in modules.items() for leaf, other in leaves.items()}


def _block_numbers(names: Collection[str]) -> list[int]:
    return sorted({int(found[1]) for name in names if (found := _BLOCK.match(name))})


_LAYOUTS = (
    Layout("gancompress", own_names, _infer_generator),
    Layout("AutoGAN's SNGAN", _generator_names, _infer_generator),
)

FAMILIES = (
    *(
        Family(name, SnganGenerator, SnganConfig, preset, layouts=_LAYOUTS)
        for name, preset in (
            ("sngan_32", {"num_blocks": 3, "halving": False, "bottom_size": 4}),
            ("sngan_64", {"num_blocks": 4, "halving": True, "bottom_size": 4}),
            ("sngan", {}),
        )
    ),
    Family(
        "sngan_discriminator",
        SnganDiscriminator,
        SnganDiscriminatorConfig,
        role="discriminator",
        layouts=(
            Layout("gancompress", own_names, _infer_discriminator),
            Layout("AutoGAN's SNGAN", _discriminator_names, _infer_discriminator),
        ),
    ),
)
