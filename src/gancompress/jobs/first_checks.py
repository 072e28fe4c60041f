"""Checks of a job before its first training."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.errors import DataError
from gancompress.jobs.measuring import check_networks
from gancompress.jobs.packages import check_packages
from gancompress.jobs.recipe import Job
from gancompress.jobs.steps import Goal, StepRun
from gancompress.tasks.inputs import Inputs


def check_job(job: Job, inputs: Inputs, say: Callable[[str], None]) -> None:
    """Check packages, networks of metrics and losses, and the number of training images. Raises a GanCompressError."""
    check_packages(job, say)
    check_networks(job)
    _check_images(job, inputs)


def check_first_step(job: Job, inputs: Inputs, run: StepRun) -> None:
    """Check the first step for a teacher with fresh weights; within a budget in milliseconds nothing is known yet.

    Args:
        job: The job.
        inputs: Images of the data, for the task.
        run: Run of the teacher's training.

    Raises:
        GanCompressError: See `Step.check_network`.
    """
    training, budget = job.teacher.training, job.budget
    if training is None or not job.steps or (budget is not None and budget.latency_ms is not None):
        return
    teacher = training.fresh(run.seed, inputs)
    job.steps[0].check_network(teacher, inputs, run, Goal(job.limit(teacher, inputs), job.metrics))


def _check_images(job: Job, inputs: Inputs) -> None:
    """Check that every step finds as many training images as it cannot do without.

    Raises:
        DataError: There are fewer, or the split cannot be opened.
    """
    available = len(inputs.data.open("train"))
    for number, step in enumerate(job.steps):
        if step.least_images > available:
            raise DataError(
                f"steps.{number}.num_images: got {step.least_images}, but the training data has {available}; lower it"
            )
