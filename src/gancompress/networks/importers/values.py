"""Type of weights that are read from files of other programs."""

from __future__ import annotations

from torch import Tensor


def in_training_dtype(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 if it is of another floating-point type of more than 8 bits."""
    return tensor.detach().float() if tensor.is_floating_point() and tensor.dtype.itemsize > 1 else tensor.detach()
