"""RRDBNet generators: the layout of BasicSR and Real-ESRGAN, whose names are this package's own."""

from __future__ import annotations

from typing import Literal

from gancompress.models.importers.layout import Layout, dimension, num_indexed, own_names
from gancompress.models.rrdbnet import RrdbNetConfig
from gancompress.models.state import Shapes

_SCALES: dict[int, Literal[1, 2, 4]] = {1: 4, 4: 2, 16: 1}
"""Scale by the pixels that are moved into each channel."""


def _infer(shapes: Shapes) -> RrdbNetConfig:
    out_channels = dimension(shapes, "conv_last.weight", 0, default=3)
    entering = dimension(shapes, "conv_first.weight", 1, default=out_channels)
    scale = _SCALES.get(entering // out_channels, 4)
    return RrdbNetConfig(
        in_channels=max(1, entering * scale**2 // 16),
        out_channels=out_channels,
        growth=dimension(shapes, "body.0.rdb1.conv1.weight", 0, default=32),
        num_blocks=num_indexed(shapes, "body."),
        scale=scale,
    )


LAYOUTS = (Layout("BasicSR", RrdbNetConfig, own_names, _infer),)
