"""Values that all processes of a training agree on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor

from gancompress.errors import LostProcessError
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


@contextmanager
def naming_a_lost_process(accelerator: Accelerator, where: Callable[[], str]) -> Iterator[None]:
    """Turn the error of a collective operation whose other process is gone into one line.

    Args:
        accelerator: The processes.
        where: Returns the place in the run, such as "after 400 images".

    Raises:
        LostProcessError: Another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        if accelerator.num_processes == 1 or not _lost_another(error):
            raise
        raise LostProcessError(
            f"training: process {accelerator.process_index} of {accelerator.num_processes} lost another one {where()}, "
            "expected all to run; see why that one ended, and start all again: the same command resumes from the last "
            "checkpoint"
        ) from error


def _lost_another(error: RuntimeError) -> bool:
    known = getattr(torch.distributed, "DistError", ())
    return (
        isinstance(error, known) or re.search(r"gloo.*(closed by peer|reset by peer|imed out)", str(error)) is not None
    )
