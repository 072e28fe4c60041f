"""Statistics of a batch that is divided among the processes of a training."""

from __future__ import annotations

import torch
from torch import Tensor


def sum_over_processes(value: Tensor) -> Tensor:
    """Return the sum of a statistic over all processes that train together; the value itself if there is only one.

    Every process must call it at the same place. No gradient flows through the sum of several processes.
    """
    if _num_processes() == 1:
        return value
    total = value.detach().clone()
    torch.distributed.all_reduce(total)
    return total


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a statistic over all processes; see `sum_over_processes`."""
    return value if _num_processes() == 1 else sum_over_processes(value) / _num_processes()


def norms_over_processes(norms: Tensor) -> Tensor:
    """Return the norms of tensors that are divided among the processes; see `sum_over_processes`.

    Args:
        norms: Norms of this process's parts, of any shape.
    """
    return norms if _num_processes() == 1 else sum_over_processes(norms.square()).sqrt()


def _num_processes() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
