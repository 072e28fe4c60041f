"""Pace of training on this machine, from a short trial."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import nn

from gancompress.channels.skeleton import copy_module
from gancompress.methods.distill import distill
from gancompress.methods.training import cache_options

SHARE_OF_TIME = 0.85
"""Share of the time to train that its steps take; the rest is left for its start, its log and its checkpoints."""

TRIAL_STEPS = 4
_LEAST_TRIAL_S, _MOST_TRIAL_STEPS = 3.0, 16
"""Steps are repeated, four times as many, until they take this long: the first few are slower than those of a run."""


def seconds_per_step(
    student: nn.Module,
    teacher: nn.Module,
    batch: Mapping[str, Any],
    batch_size: int,
    options: Mapping[str, Any],
    steps: int = TRIAL_STEPS,
    num_kept: int | None = None,
) -> float:
    """Return the median seconds of a step of `gancompress.distill`, without what a run takes at its start.

    The teacher runs in every step, or in none if the cache's memory holds its outputs for ``num_kept`` inputs: the
    trial's one batch gets its share of that memory.

    Args:
        student: The student; it is not changed.
        teacher: The teacher.
        batch: A batch, which every step trains on.
        batch_size: Images of a step.
        options: Further options of `gancompress.distill`.
        steps: Number of timed steps; if they take less than three seconds, four times as many follow, up to 16.
        num_kept: Number of inputs that come again in every pass; None if they do not.
    """
    memory = cache_options(options.get("teacher_cache")).memory_gib
    memory *= 0 if num_kept is None else len(batch["input"]) / max(num_kept, len(batch["input"]))
    given = {**options, "teacher_cache": {"memory_gib": memory, "disk_gib": 0}}

    def timed(number: int) -> list[float]:
        """Return the seconds of each step but the first."""
        ends: list[float] = []

        def ended() -> bool:
            ends.append(time.perf_counter())
            return False

        images, how = (1 + number) * batch_size, {**given, "progress": False, "stop": ended}
        distill(copy_module(student), teacher, [batch], images=images, batch_size=batch_size, **how)
        return [end - begin for begin, end in pairwise(ends)]

    timed(1)
    while sum(seconds := timed(steps)) < _LEAST_TRIAL_S and steps < _MOST_TRIAL_STEPS:
        steps = min(4 * steps, _MOST_TRIAL_STEPS)
    return statistics.median(seconds)


def steps_in(seconds: float, step_s: float, kept_step_s: float | None = None, num_first: int = 0) -> int:
    """Return the number of steps that fit into some time, at least 1.

    Args:
        seconds: The time.
        step_s: Seconds of a step in which the teacher runs.
        kept_step_s: Seconds of a step that reads the teacher's outputs; None if the teacher always runs.
        num_first: Number of steps of the first pass, in which the teacher runs in any case.
    """
    steps = seconds / step_s
    if kept_step_s is not None and steps > num_first:
        steps = num_first + (seconds - num_first * step_s) / kept_step_s
    return max(1, int(steps))
