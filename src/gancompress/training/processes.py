"""Values that all processes of a training agree on."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor


def mean_everywhere(value: Tensor, accelerator: Accelerator) -> Tensor:
    """Return the mean of a tensor over the processes."""
    if accelerator.num_processes == 1:
        return value
    mean = accelerator.reduce(value, reduction="mean")
    assert isinstance(mean, Tensor)
    return mean


def finite_everywhere(value: Tensor, accelerator: Accelerator) -> bool:
    """Return True if a tensor is finite in every process."""
    return bool(mean_everywhere(torch.isfinite(value).all().float(), accelerator) == 1)


def asked_anywhere(asked: bool, accelerator: Accelerator) -> bool:
    """Return True if any process was asked."""
    return bool(mean_everywhere(torch.tensor(float(asked), device=accelerator.device), accelerator) > 0)
