"""Operators of PyTorch in terms of others, where a converter means something else by its own, or has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def sliced_nearest(
    values: Tensor, size: Sequence[int] | None, scale_factors: Sequence[float] | None = None
) -> Tensor | Any:
    """`torch.nn.functional.interpolate` by the nearest pixel to a size that divides the map's: every n-th pixel.

    PyTorch takes the first pixel of each block (floor of index times scale), LiteRT the one in its middle.

    Args:
        values: [b, c, h, w].
        size: Height and width of the result; None where ``scale_factors`` tell.
        scale_factors: Of height and width.

    Returns:
        [b, c, *size]; NotImplemented where it does not divide, which leaves the operator as it is.
    """
    height, width = values.shape[-2:]
    if size is None:
        assert scale_factors is not None
        size = [int(height * scale_factors[0]), int(width * scale_factors[1])]
    if height % size[0] or width % size[1]:
        return NotImplemented
    return values[..., :: height // size[0], :: width // size[1]]


SLICED_NEAREST: dict[Any, Callable[..., Any]] = {torch.ops.aten.upsample_nearest2d.vec: sliced_nearest}
"""For `torch.export.ExportedProgram.run_decompositions`."""
