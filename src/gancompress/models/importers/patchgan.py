"""Discriminators: CycleGAN, pix2pix (junyanz), GAN Compression and GAN Slimming."""

from __future__ import annotations

import re
from collections.abc import Collection

from gancompress.models.importers.layout import Layout, dimension, num_indexed, own_names, tensor_names
from gancompress.models.patchgan import PatchGanConfig, PixelGanConfig
from gancompress.models.state import Shapes

_INDEX = re.compile(r"model\.(\d+)\.(?:weight|bias)")


def _infer_patch(shapes: Shapes) -> PatchGanConfig:
    # Of the published programs only GAN Slimming has affine instance norms, and it averages the logits.
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
    """``model.0``, then groups of convolution, norm and activation from ``model.2`` on."""
    last = max((int(found[1]) for name in names if (found := _INDEX.match(name))), default=0)
    n_layers, between = divmod(last - 2, 3)
    if between or not 1 <= n_layers <= len(names):
        return {}
    modules = {"model.0": "layers.0.conv", f"model.{last}": "head.conv"}
    for i in range(1, n_layers + 1):
        modules |= {f"model.{3 * i - 1}": f"layers.{i}.conv", f"model.{3 * i}": f"layers.{i}.norm"}
    return tensor_names(modules)


def _pixel_names(names: Collection[str]) -> dict[str, str]:
    """``net.0``, ``net.2`` with the norm ``net.3``, ``net.5``."""
    if not any(name.startswith("net.") for name in names):
        return {}
    return tensor_names(
        {"net.0": "layers.0.conv", "net.2": "layers.1.conv", "net.3": "layers.1.norm", "net.5": "head.conv"}
    )


LAYOUTS = (
    Layout("gancompress", PatchGanConfig, own_names, _infer_patch),
    Layout("CycleGAN, pix2pix or GAN Slimming", PatchGanConfig, _patch_names, _infer_patch),
    Layout("gancompress", PixelGanConfig, own_names, _infer_pixel),
    Layout("CycleGAN or pix2pix", PixelGanConfig, _pixel_names, _infer_pixel),
)
