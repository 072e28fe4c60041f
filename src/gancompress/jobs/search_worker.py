"""Worker of a search: another process that evaluates candidates of a run's search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from accelerate import Accelerator

from gancompress.errors import ConfigError
from gancompress.io.trust import Trust
from gancompress.jobs.recipe import Job, named_in
from gancompress.jobs.run_log import RunLog, Show
from gancompress.jobs.saved_work import load_work
from gancompress.jobs.stages import Stage, Stages
from gancompress.jobs.steps import Search, Work
from gancompress.jobs.steps.step import Goal, StepRun
from gancompress.jobs.threads import computing_with
from gancompress.methods.costs import TABLE_FILE
from gancompress.networks.generator import Generator


def take_part_in_search(
    job: Job,
    directory: Path,
    say: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
    *,
    storage: str | None = None,
    show: Show | None = None,
    trust: bool = False,
) -> int:
    """Evaluate candidates of the search that a run is at, until all are finished.

    Any number of processes may do so, and come, go and be killed at any time. Nothing but the search's own storage is
    written. Without a database that storage is a file of the run directory, which the processes of one machine share.

    Args:
        job: The job of the run.
        directory: The run directory, or a copy of it on another machine.
        say: Prints a line for the user.
        stop: Returns True once the user asked to stop.
        storage: URL of the database; that of the job by default, whose password the job does not keep.
        show: Shows the current progress; by default lines are printed instead.
        trust: Consent to build classes that the run's networks name.

    Returns:
        The number of all candidates.

    Raises:
        GanCompressError: An error that the user can fix; the subclass tells which. A `ConfigError` if the run is not at
            a search.
    """
    stage, work = _search_of(job, directory, trust or named_in(job))
    step = stage.step if storage is None else type(stage.step)(**{**dict(stage.step), "storage": storage})
    assert isinstance(step, Search)
    if job.budget is not None and job.budget.latency_ms is not None and not (stage.directory / TABLE_FILE).is_file():
        raise ConfigError(
            f"{stage.directory / TABLE_FILE}: no such file, expected the latencies that the run has measured; start "
            "the worker once its search has begun, and copy the file to other machines"
        )
    accelerator, inputs = Accelerator(), job.inputs()
    budget = job.limit(work.teacher, inputs)
    log = RunLog(stage.directory, say, step=stage.name, place=stage.place, show=show)
    run = StepRun(stage.directory, log, accelerator, job.seed, stop, job_directory=directory)
    with computing_with(job.threads):
        return step.take_part(work, inputs, run, Goal(budget, job.metrics))


def _search_of(job: Job, directory: Path, trust: Trust) -> tuple[Stage, Work]:
    """Return the first search that a run has not finished, and the work before it."""
    stages = Stages(job, directory).steps()
    left = [stage for stage in stages if stage.record is None]
    if not left or not isinstance(left[0].step, Search) or not (directory / "teacher").is_dir():
        now = f"at {left[0].name}" if left else "with all steps finished"
        raise ConfigError(
            f"{directory}: got a run {now}, expected one at a search; start workers once the steps before are done"
        )
    teacher = Generator.load(directory / "teacher", trust=trust)
    judge = directory / "teacher" / "discriminator"
    work = Work(teacher, teacher, Generator.load(judge, trust=trust) if judge.is_dir() else None)
    for stage in stages[: stages.index(left[0])]:
        work = load_work(stage.directory, work, trust)
    return left[0], work
