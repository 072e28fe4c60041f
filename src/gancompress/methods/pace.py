"""Pace of training on this machine, from a short trial."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from torch import nn

from gancompress.channels.skeleton import copy_module
from gancompress.methods.distill import distill

TRIAL_STEPS = 4
_LEAST = 1e-6


def seconds_per_step(
    student: nn.Module,
    teacher: nn.Module,
    batch: Mapping[str, Any],
    batch_size: int,
    options: Mapping[str, Any],
    steps: int = TRIAL_STEPS,
) -> float:
    """Return the seconds of one step of `gancompress.distill`, without what a run takes at its start.

    Args:
        student: The student; it is not changed.
        teacher: The teacher.
        batch: A batch, which every step trains on.
        batch_size: Images of a step.
        options: Further options of `gancompress.distill`.
        steps: Number of timed steps.
    """

    def timed(number: int) -> float:
        began = time.perf_counter()
        images = number * batch_size
        distill(copy_module(student), teacher, [batch], images=images, batch_size=batch_size, progress=False, **options)
        return time.perf_counter() - began

    timed(1)
    return max(_LEAST, (timed(1 + steps) - timed(1)) / steps)
