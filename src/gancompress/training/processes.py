"""Values that all processes of a training agree on."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor

from gancompress.training.checkpoint import Checkpoints, Snapshot


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


def latest_everywhere(checkpoints: Checkpoints, accelerator: Accelerator) -> Snapshot | None:
    """Return the newest checkpoint that is intact for every process; None if there is none."""
    found = checkpoints.latest(accelerator.process_index)
    while accelerator.num_processes > 1:
        number = -1 if found is None else found.num_images
        numbers = accelerator.gather(torch.tensor([number], device=accelerator.device))
        assert isinstance(numbers, Tensor)
        if int(numbers.min()) == int(numbers.max()):
            break
        found = checkpoints.latest(accelerator.process_index, at_most=int(numbers.min()))
    return found
