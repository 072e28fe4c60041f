"""Values to trace, compare and time networks with: the same ones every time, of any type."""

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
    """A tensor of values that depend on its shape alone.

    Args:
        shape: Its shape.
        dtype: Floats are a sine wave in [-1, 1]; truth values are both true and false; integers count up from 0.
        device: Where to make it; "meta" where only the shape matters.
        num_integers: Integers are smaller than this.
    """
    count = math.prod(shape)
    if not dtype.is_floating_point and dtype != torch.bool:
        return (torch.arange(count, device=device) % num_integers).to(dtype).view(tuple(shape))
    wave = torch.arange(count, dtype=torch.float32, device=device).sin().view(tuple(shape))
    return wave > 0 if dtype == torch.bool else wave.to(dtype)
