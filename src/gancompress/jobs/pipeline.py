"""Pipeline of a job: teacher, steps, metrics, exports and report. The same call resumes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from accelerate import Accelerator

from gancompress.evaluation.latent.evaluation import check_styles, latent_metrics
from gancompress.io.lock import locked
from gancompress.io.trust import Trust
from gancompress.jobs.doubts import doubts_about
from gancompress.jobs.finishing import finish
from gancompress.jobs.first_checks import check_first_step, check_job
from gancompress.jobs.given_teacher import check_given_teacher, load_given_teacher
from gancompress.jobs.interruption import ending_at_once
from gancompress.jobs.measuring import StepQuality, check_networks
from gancompress.jobs.outcome import Outcome
from gancompress.jobs.recipe import Job, named_in
from gancompress.jobs.run_log import Show
from gancompress.jobs.saved_work import save_job, save_teacher
from gancompress.jobs.stage_runner import StageRunner
from gancompress.jobs.stages import Stage, Stages
from gancompress.jobs.steps import Work
from gancompress.jobs.threads import computing_with
from gancompress.report.tensorboard import TensorBoard


class Pipeline:
    """One run of a job, in one directory.

    Attributes:
        inputs: Images of the job's data, for its task.
    """

    def __init__(
        self,
        job: Job,
        directory: Path,
        say: Callable[[str], None],
        stop: Callable[[], bool] = lambda: False,
        accelerator: Accelerator | None = None,
        *,
        show: Show | None = None,
        tensorboard: bool = False,
        trust: bool = False,
    ) -> None:
        """Prepare a run.

        Args:
            job: The job.
            directory: The run directory; finished steps in it are not repeated.
            say: Prints a line for the user.
            stop: Returns True once the user asked to stop.
            accelerator: Device and processes; detected by default.
            show: Shows the current progress; by default lines are printed instead.
            tensorboard: Whether losses and sample grids are also written to ``tensorboard/`` in the run directory.
            trust: Consent to build classes that the teacher's directory names and the job does not.

        Raises:
            ConfigError: TensorBoard is requested, but not installed.
        """
        if tensorboard:
            TensorBoard.check()
        self.inputs = job.inputs()
        self._job, self._directory, self._say, self._show = job, directory, say, show
        self._accelerator = accelerator or Accelerator()
        self._stages = Stages(job, directory)
        boards = directory / "tensorboard" if tensorboard else None
        self._stop = stop
        self._trust: Trust = trust or named_in(job)
        shared = job, self.inputs, self._accelerator, say
        self._runner = StageRunner(*shared, stop=stop, show=show, boards=boards, trust=self._trust)

    def stages(self) -> list[Stage]:
        """Return the stages that `run` would run: the teacher, if it is to be trained, and the steps. Writes nothing.

        Raises:
            CheckpointError: There is no such checkpoint or network of a metric, or the shipped teacher is damaged.
            ExportError: A package is missing that an export needs.
            DataError: A split cannot be opened, or splits share files.
        """
        check_job(self._job, self.inputs, self._say)
        check_given_teacher(self._job.teacher)
        self._job.data.check_splits()
        teacher = self._stages.teacher()
        return [*([] if teacher is None else [teacher]), *self._stages.steps()]

    def teacher(self) -> Work:
        """Return the teacher, read or trained; save it to ``teacher/``, with its discriminator, beside ``job.yaml``.

        Raises:
            GanCompressError: An error that the user can fix; the subclass tells which. A `TrainingError` if another
                process works on the directory.
        """
        if self._job.teacher.validates:
            check_networks(self._job)
        with self._alone():
            return self._teacher()

    def _teacher(self) -> Work:
        if self._accelerator.is_main_process:
            save_job(self._job, self._directory)
        self._job.data.check_splits()
        stage = self._stages.teacher()
        if stage is None:
            work = load_given_teacher(self._job.teacher, self.inputs, self._say, self._trust)
        else:
            with computing_with(self._job.threads):
                work = self._runner.run(stage, None, check=partial(check_first_step, self._job, self.inputs))
        if self._accelerator.is_main_process:
            save_teacher(work, self._directory / "teacher")
        return work

    def run(self) -> Outcome | None:
        """Run everything that is not finished.

        Returns:
            The result; None in processes other than the main one, which measures, exports and reports.

        Raises:
            GanCompressError: An error that the user can fix; the subclass tells which.
        """
        check_job(self._job, self.inputs, self._say)
        with self._alone():
            return self._run()

    def _alone(self) -> AbstractContextManager[None]:
        """Hold the lock on the run directory; of several processes of one launch the main one does."""
        return locked(self._directory) if self._accelerator.is_main_process else nullcontext()

    def _run(self) -> Outcome | None:
        job, inputs = self._job, self.inputs
        work = self._teacher()
        check_styles(latent_metrics(job.metrics.against_real, job.metrics), work.teacher.build())
        budget = job.limit(work.teacher, inputs)
        main = self._accelerator.is_main_process
        watched = job.progress_images if main else 0
        quality = StepQuality(work.teacher, inputs, job.metrics, watched, self._accelerator.device)
        doubts = doubts_about(work.teacher, inputs, self._accelerator.device) if main else ()
        for doubt in doubts:
            self._say(f"warning: {doubt}")
        for stage in self._stages.steps():
            with computing_with(job.threads):
                work = self._runner.run(stage, work, budget)
            quality.tell(stage.name, work, self._say)
        if not main:
            return None
        with ending_at_once(self._stop):
            records, device = tuple(self._runner.records), self._accelerator.device
            outcome = finish(work, job, inputs, self._directory, records, device, self._say, self._do)
            return replace(outcome, doubts=doubts)

    def _do(self, activity: str) -> None:
        (self._say if self._show is None else self._show)(activity)
