"""U-Net generators: pix2pix (junyanz), whose stages are nested in one another."""

from __future__ import annotations

from collections.abc import Collection

from gancompress.models.importers.layout import Layout, dimension, num_indexed, own_names, tensor_names
from gancompress.models.state import Shapes
from gancompress.models.unet import UnetConfig


def _infer(shapes: Shapes) -> UnetConfig:
    return UnetConfig(
        in_channels=dimension(shapes, "down.0.conv.weight", 1, default=3),
        out_channels=dimension(shapes, "head.conv.weight", 1, default=3),
        num_downs=max(2, num_indexed(shapes, "down.")),
        norm="instance" if "down.0.conv.bias" in shapes else "batch",
    )


def _nested_names(names: Collection[str]) -> dict[str, str]:
    """``model.model`` is the outermost stage; every stage holds the next one between its own layers."""
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


LAYOUTS = (
    Layout("gancompress", UnetConfig, own_names, _infer),
    Layout("pix2pix", UnetConfig, _nested_names, _infer),
)
