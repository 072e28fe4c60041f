"""Decompositions of PyTorch operators that a converter implements differently, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def sliced_nearest(
    values: Tensor, size: Sequence[int] | None, scale_factors: Sequence[float] | None = None
) -> Tensor | Any:
    """Interpolate to the nearest pixel, to a size that divides the map's, by slicing: every n-th pixel.

    PyTorch's ``interpolate`` takes the first pixel of each block (floor of index times scale), LiteRT the middle one.

    Args:
        values: [b, c, h, w].
        size: Height and width of the result; None if ``scale_factors`` define it.
        scale_factors: Factors of height and width.

    Returns:
        [b, c, *size]; NotImplemented if the size does not divide, which keeps the operator.
    """
    height, width = values.shape[-2:]
    if size is None:
        assert scale_factors is not None
        size = [int(height * scale_factors[0]), int(width * scale_factors[1])]
    if height % size[0] or width % size[1]:
        return NotImplemented
    return values[..., :: height // size[0], :: width // size[1]]


SLICED_NEAREST: dict[Any, Callable[..., Any]] = {torch.ops.aten.upsample_nearest2d.vec: sliced_nearest}
"""Decompositions for `torch.export.ExportedProgram.run_decompositions`."""
