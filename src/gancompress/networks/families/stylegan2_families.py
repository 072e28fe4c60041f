"""Families of StyleGAN2 and their file layouts.

The layouts are those of rosinality's PyTorch port, and of Content-Aware GAN Compression, which uses the same names.

Blur filters are dropped, because they are constants here. Every layer's scale is computed from the widths in the file,
as in those programs, so that a pruned file stays the same network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from gancompress.networks.families.stylegan2 import StyleGan2Config, StyleGan2Generator
from gancompress.networks.families.stylegan2_discriminator import StyleGan2Discriminator, StyleGan2DiscriminatorConfig
from gancompress.networks.family import Family
from gancompress.networks.layout import Layout, dimension, num_indexed, own_names
from gancompress.networks.state import Shapes

_MAPPING_RATE = 0.01
_UP = re.compile(r"convs\.\d*[02468]\.conv\.weight")
_FILTER = re.compile(r".*\.kernel")
_MAPPING = re.compile(r"style\.\d+\.weight")


def _infer_generator(shapes: Shapes) -> StyleGan2Config:
    num_layers = num_indexed(shapes, "layers.")
    resolution = _power_of_two((num_layers + 3) // 2)
    last = f"layers.{num_layers - 1}.conv.weight"
    return StyleGan2Config(
        latent_size=max(1, (*shapes.get("mapping.layers.0.weight", ()), 512, 512)[1]),
        out_channels=dimension(shapes, "to_rgb.0.conv.weight", 0, default=3),
        resolution=resolution,
        channel_multiplier=_multiplier(dimension(shapes, last, 0, default=1), resolution),
        num_mapping_layers=num_indexed(shapes, "mapping.layers."),
        noise_maps=not num_layers or "layers.0.noise_strength" in shapes,
    )


def _infer_discriminator(shapes: Shapes) -> StyleGan2DiscriminatorConfig:
    resolution = _power_of_two(num_indexed(shapes, "blocks.") + 2)
    return StyleGan2DiscriminatorConfig(
        in_channels=dimension(shapes, "stem.weight", 1, default=3),
        resolution=resolution,
        channel_multiplier=_multiplier(dimension(shapes, "stem.weight", 0, default=1), resolution),
    )


def _power_of_two(exponent: int) -> int:
    return 2 ** min(max(exponent, 3), 14)


def _multiplier(width: int, resolution: int) -> int:
    """Return the channel multiplier for the width at the highest resolution; the published one if none fits."""
    multiplier, rest = divmod(width * resolution, 2**14)
    return 2 if rest or not multiplier else multiplier


def _generator_names(names: Collection[str]) -> dict[str, str]:
    """Return the table of names: ``style``, ``input``, ``conv1``, ``convs``, ``to_rgb1``, ``to_rgbs``, ``noises``."""
    if "input.input" not in names:
        return {}
    table = {"input.input": "input.weight"}
    for i in range(num_indexed(names, "style.")):
        table |= _tensors(f"style.{i + 1}", f"mapping.layers.{i}", "weight", "bias", "scale")
    for i in range(num_indexed(names, "convs.") + 1):
        theirs, ours = f"convs.{i - 1}" if i else "conv1", f"layers.{i}"
        table |= _tensors(f"{theirs}.conv", f"{ours}.conv", "weight", "scale")
        table |= _tensors(f"{theirs}.conv.modulation", f"{ours}.modulation", "weight", "bias", "scale")
        table |= {
            f"{theirs}.noise.weight": f"{ours}.noise_strength",
            f"{theirs}.activate.bias": f"{ours}.bias",
            f"noises.noise_{i}": f"{ours}.noise",
        }
    for i in range(num_indexed(names, "to_rgbs.") + 1):
        theirs, ours = f"to_rgbs.{i - 1}" if i else "to_rgb1", f"to_rgb.{i}"
        table |= _tensors(f"{theirs}.conv", f"{ours}.conv", "weight", "scale")
        table |= _tensors(f"{theirs}.conv.modulation", f"{ours}.modulation", "weight", "bias", "scale")
        table[f"{theirs}.bias"] = f"{ours}.conv.bias"
    return table


def _discriminator_names(names: Collection[str]) -> dict[str, str]:
    """Return the table of names: ``convs.0`` is the stem, the blocks follow; ``final_conv``, ``final_linear``."""
    if "final_linear.0.weight" not in names or "convs.0.0.weight" not in names:
        return {}
    layers = {"convs.0.0": ("stem", "convs.0.1"), "final_conv.0": ("head.conv", "final_conv.1")}
    layers |= {f"final_linear.{i}": (f"head.{ours}", f"final_linear.{i}") for i, ours in enumerate(("linear", "out"))}
    for i in range(num_indexed(names, "convs.") - 1):
        block = f"convs.{i + 1}"
        layers |= {
            f"{block}.conv1.0": (f"blocks.{i}.conv1", f"{block}.conv1.1"),
            f"{block}.conv2.1": (f"blocks.{i}.conv2", f"{block}.conv2.2"),
            f"{block}.skip.1": (f"blocks.{i}.shortcut", ""),
        }
    table: dict[str, str] = {}
    for theirs, (ours, biased) in layers.items():
        table |= _tensors(theirs, ours, "weight", "scale")
        if biased:
            table[f"{biased}.bias"] = f"{ours}.bias"
    return table


def _tensors(theirs: str, ours: str, *leaves: str) -> dict[str, str]:
    return {f"{theirs}.{leaf}": f"{ours}.{leaf}" for leaf in leaves}


def _prepare_generator(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Convert filters to the layout of convolutions, add scales, and drop blur filters."""
    if "input.input" not in tensors:
        return tensors
    prepared = {}
    for name, tensor in tensors.items():
        if _FILTER.fullmatch(name):
            continue
        if tensor.dim() == 5 and name.endswith(".conv.weight"):
            prepared[_scale(name)] = _root_of(tensor[0, 0].numel())
            tensor = tensor[0].transpose(0, 1) if _UP.fullmatch(name) else tensor[0]
        elif tensor.dim() == 2 and name.endswith(".weight"):
            rate = _MAPPING_RATE if _MAPPING.fullmatch(name) else 1.0
            prepared[_scale(name)] = rate * _root_of(tensor.shape[1])
        elif name.startswith("to_rgb") and name.endswith(".bias") and tensor.dim() == 4:
            tensor = tensor.flatten()
        prepared[name] = tensor
    return prepared


def _prepare_discriminator(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Add scales and drop blur filters."""
    if "final_linear.0.weight" not in tensors:
        return tensors
    kept = {name: tensor for name, tensor in tensors.items() if not _FILTER.fullmatch(name)}
    weights = {name: tensor for name, tensor in kept.items() if name.endswith(".weight") and tensor.dim() > 1}
    return kept | {_scale(name): _root_of(weight[0].numel()) for name, weight in weights.items()}


def _scale(weight_name: str) -> str:
    return f"{weight_name.removesuffix('.weight')}.scale"


def _root_of(fan_in: int) -> Tensor:
    return torch.tensor(1 / math.sqrt(max(1, fan_in)))


FAMILIES = (
    Family(
        "stylegan2",
        StyleGan2Generator,
        StyleGan2Config,
        layouts=(
            Layout("gancompress", own_names, _infer_generator),
            Layout(
                "rosinality or Content-Aware GAN Compression", _generator_names, _infer_generator, _prepare_generator
            ),
        ),
    ),
    Family(
        "stylegan2_discriminator",
        StyleGan2Discriminator,
        StyleGan2DiscriminatorConfig,
        role="discriminator",
        layouts=(
            Layout("gancompress", own_names, _infer_discriminator),
            Layout("rosinality", _discriminator_names, _infer_discriminator, _prepare_discriminator),
        ),
    ),
)
