"""Multiscale discriminators."""

from __future__ import annotations

from gancompress.models.importers.layout import Layout, dimension, num_indexed, own_names
from gancompress.models.multiscale import MultiscalePatchGanConfig
from gancompress.models.state import Shapes


def _infer(shapes: Shapes) -> MultiscalePatchGanConfig:
    return MultiscalePatchGanConfig(
        in_channels=dimension(shapes, "scales.0.layers.0.conv.weight", 1, default=3),
        n_layers=max(1, num_indexed(shapes, "scales.0.layers.") - 1),
        num_scales=num_indexed(shapes, "scales."),
        spectral_norm=any(".parametrizations." in name for name in shapes),
    )


LAYOUTS = (Layout("gancompress", MultiscalePatchGanConfig, own_names, _infer),)
