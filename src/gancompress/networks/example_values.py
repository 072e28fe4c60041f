"""Deterministic example tensors of any type, for tracing, comparing and timing networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def example_values(
    shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    num_integers: int = 1,
) -> Tensor:
    """Return a tensor of values that depend only on its shape.

    Args:
        shape: Its shape.
        dtype: Floats are a sine wave in [-1, 1]; booleans are both true and false; integers count up from 0.
        device: Device of the tensor; "meta" if only the shape matters.
        num_integers: Exclusive upper bound of integers.
    """
    count = math.prod(shape)
    if not dtype.is_floating_point and dtype != torch.bool:
        return (torch.arange(count, device=device) % num_integers).to(dtype).view(tuple(shape))
    wave = torch.arange(count, dtype=torch.float32, device=device).sin().view(tuple(shape))
    return wave > 0 if dtype == torch.bool else wave.to(dtype)
