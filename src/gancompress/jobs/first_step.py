"""Check of the first step before the training of the network that it takes."""

from __future__ import annotations

from gancompress.jobs.recipe import Job
from gancompress.jobs.steps import Goal, StepRun
from gancompress.tasks.inputs import Inputs


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
    limit = None if budget is None else budget.limit(inputs.graph(teacher))
    job.steps[0].check_network(teacher, inputs, run, Goal(limit, job.metrics))
