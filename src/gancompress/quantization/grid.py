"""Quantization grids, and rounding to them with straight-through gradients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST_SCALE = 1e-8  # of a tensor that is zero everywhere


class Grid(NamedTuple):
    """A grid of the numbers ``scale * (integer - zero_point)`` for integers from ``lowest`` to ``highest``.

    Attributes:
        scale: Distance between two numbers, float32, a scalar or one for each position of ``axis``.
        zero_point: The integer that stands for 0, int32, shaped as the scale.
        lowest: Smallest integer.
        highest: Largest integer.
        axis: The axis of the tensor whose positions have separate scales; None if the scale is a scalar.
    """

    scale: Tensor
    zero_point: Tensor
    lowest: int
    highest: int
    axis: int | None = None


def fake_quantize(values: Tensor, grid: Grid) -> Tensor:
    """Return the closest number of the grid to each value, in the values' shape and dtype.

    The gradient passes unchanged inside the range and is zero outside it (straight-through estimator).

    Source: Jacob et al., CVPR 2018, section 3.
    """
    if grid.axis is None:
        return torch.fake_quantize_per_tensor_affine(values, grid.scale, grid.zero_point, grid.lowest, grid.highest)
    return torch.fake_quantize_per_channel_affine(
        values, grid.scale, grid.zero_point, grid.axis, grid.lowest, grid.highest
    )


def affine_grid(lower: Tensor, upper: Tensor, bits: int) -> Grid:
    """Return the unsigned grid of ``2 ** bits`` numbers over a range, widened so that 0 lies in it and is exact.

    Args:
        lower: Lower end of the range, a scalar, of any sign.
        upper: Upper end.
        bits: Bits of an integer.
    """
    highest = 2**bits - 1
    lower, upper = lower.clamp_max(0), upper.clamp_min(0)
    scale = ((upper - lower) / highest).clamp_min(SMALLEST_SCALE)
    zero_point = (-lower / scale).round().clamp(0, highest).to(torch.int32)
    return Grid(scale, zero_point, 0, highest)


def symmetric_grid(weight: Tensor, bits: int, axis: int | None) -> Grid:
    """Return the signed grid whose ends are the largest magnitude of a weight; -2 ** (bits - 1) is not used.

    Args:
        weight: The weight.
        bits: Bits of an integer.
        axis: The axis of the output channels, each with its own scale; None for one scale.
    """
    highest = 2 ** (bits - 1) - 1
    magnitudes = weight.detach().abs()
    others = [i for i in range(weight.dim()) if i != axis]
    largest = magnitudes.amax(others) if axis is not None else magnitudes.max()
    scale = (largest.float() / highest).clamp_min(SMALLEST_SCALE)
    return Grid(scale, torch.zeros_like(scale, dtype=torch.int32), -highest, highest, axis)


def integers(values: Tensor, grid: Grid) -> Tensor:
    """Return the integers, int32, of values that already lie on the grid."""
    shape = [1] * values.dim()
    if grid.axis is not None:
        shape[grid.axis] = -1
    scale, zero_point = grid.scale.reshape(shape), grid.zero_point.reshape(shape)
    return (values / scale).round().to(torch.int32) + zero_point
