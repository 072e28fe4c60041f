"""CartoonGAN generators: the published PyTorch port, with numbered convolutions and norms.

Its images are BGR; on import the first and the last convolution are turned around, so that ours are RGB as all others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from gancompress.models.cartoongan import CartoonGanConfig
from gancompress.models.importers.layout import Layout, dimension, num_indexed, own_names
from gancompress.models.state import Shapes

_SECOND_CONV = re.compile(r"conv(\d\d)_2\.")
_FIRST_BLOCK = 4


def _infer(shapes: Shapes) -> CartoonGanConfig:
    return CartoonGanConfig(
        in_channels=dimension(shapes, "stem.conv.weight", 1, default=3),
        out_channels=dimension(shapes, "head.conv.weight", 0, default=3),
        num_blocks=num_indexed(shapes, "blocks."),
    )


def _numbered_names(names: Collection[str]) -> dict[str, str]:
    """``conv01_1`` is the stem, 02 and 03 go down, 04 and on are the blocks; norms are numbered on through
    the up stages."""
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
    """The same network from RGB to RGB images."""
    colours = {"conv01_1.weight": 1, "deconv03_1.weight": 0, "deconv03_1.bias": 0}
    turned = {name: tensors[name].flip(axis) for name, axis in colours.items() if name in tensors}
    return {**tensors, **turned}


LAYOUTS = (
    Layout("gancompress", CartoonGanConfig, own_names, _infer),
    Layout("CartoonGAN", CartoonGanConfig, _numbered_names, _infer, _to_rgb),
)
