"""Execution of stages: each runs once, its result and record are saved, and the same call goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from gancompress.io import write_atomically
from gancompress.io.trust import Trust
from gancompress.jobs.clock import Clock
from gancompress.jobs.recipe import Job
from gancompress.jobs.run_log import RunLog, Show
from gancompress.jobs.saved_work import damaged, digests, load_work, save_work
from gancompress.jobs.stages import DONE_FILE, Stage
from gancompress.jobs.steps import Work
from gancompress.jobs.steps.step import Goal, StepRun
from gancompress.jobs.validation import Validation
from gancompress.methods.budget import CostLimit
from gancompress.report.wording import duration
from gancompress.tasks.inputs import Inputs
from gancompress.training.processes import naming_a_lost_process


class StageRunner:
    """Runs the stages of one job.

    Attributes:
        records: Records of the stages so far.
    """

    def __init__(
        self,
        job: Job,
        inputs: Inputs,
        accelerator: Accelerator,
        say: Callable[[str], None],
        *,
        stop: Callable[[], bool],
        show: Show | None = None,
        boards: Path | None = None,
        trust: Trust = False,
    ) -> None:
        """Take what all stages share.

        Args:
            job: The job.
            inputs: Images of its data, for its task.
            accelerator: Device and processes.
            say: Prints a line for the user.
            stop: Returns True once the user asked to stop.
            show: Shows the current progress; by default lines are printed instead.
            boards: Directory of TensorBoard's files; none are written without it.
            trust: Consent to build classes that saved networks name.
        """
        self.records: list[Mapping[str, Any]] = []
        self._job, self._inputs, self._accelerator = job, inputs, accelerator
        self._say, self._show, self._boards = say, show, boards
        self._stop, self._trust = stop, trust

    def run(
        self,
        stage: Stage,
        work: Work | None,
        budget: CostLimit | None = None,
        check: Callable[[StepRun], None] = lambda run: None,
    ) -> Work:
        """Run a stage, or load its result if it is finished; every process loads what the main one saved.

        Args:
            stage: The stage.
            work: State of the work before it; None for the training of the teacher.
            budget: Budget of the job.
            check: Called before a stage runs.

        Raises:
            GanCompressError: An error that the user can fix; the subclass tells which.
        """
        with naming_a_lost_process(self._accelerator, lambda: f"in {stage.name}"):
            return self._run(stage, work, budget, check)

    def _run(self, stage: Stage, work: Work | None, budget: CostLimit | None, check: Callable[[StepRun], None]) -> Work:
        directory = stage.directory
        self._accelerator.wait_for_everyone()  # so that all processes find the same files
        if (record := self._finished(stage)) is not None:
            self._say(f"{stage.name}: done before, taken from {directory}")
            self.records.append(record)
            return load_work(directory, work, self._trust)
        for other in stage.replaced:
            self._say(
                f"{stage.name}: the recipe or gancompress has changed since {other}; that result stays there unused"
            )
        self._say(f"{stage.name}: {'goes on' if directory.is_dir() else 'starts'}, {stage.place}")
        directory.mkdir(parents=True, exist_ok=True)
        clock = Clock(directory)
        with self._log(stage) as log, clock:
            given = directory, log, self._accelerator, self._job.seed, self._stop
            run = StepRun(*given, validate=self._validation(work), job_directory=directory.parents[1])
            check(run)
            torch.manual_seed(self._job.seed)  # draws of a step do not depend on the steps that this process ran before
            result = stage.step.run(work, self._inputs, run, Goal(budget, self._job.metrics))  # type: ignore[arg-type]
        self._save(stage, result, clock.seconds)
        return load_work(directory, work, self._trust)

    def _finished(self, stage: Stage) -> dict[str, Any] | None:
        """Return the record of a finished stage; None if it is to be run, as a damaged one is from its checkpoints."""
        file, record = stage.directory / DONE_FILE, stage.record
        lost = damaged(stage.directory, (record or {}).pop("sha256", {}))
        if record is not None and not lost:
            return record
        if record is not None:
            self._say(f"{stage.name}: {stage.directory / lost[0]} is not as it was written; done again")
        elif file.exists():
            self._say(f"{stage.name}: {file} is damaged; done again")
        return None

    def _save(self, stage: Stage, result: Work, seconds: float) -> None:
        directory = stage.directory
        facts = {"step": stage.name, "kind": stage.step.kind, "directory": directory.name, "seconds": seconds}
        self.records.append({**facts, **result.facts})
        if self._accelerator.is_main_process:
            save_work(result, directory)
            lines = "".join(f"{json.dumps(record)}\n" for record in self.records)
            write_atomically(directory.parents[1] / "records.jsonl", lines.encode())
            done = {**self.records[-1], "sha256": digests(directory)}
            write_atomically(directory / DONE_FILE, json.dumps(done, indent=2).encode())
        self._accelerator.wait_for_everyone()
        if note := result.facts.get("note"):
            self._say(f"{stage.name}: {note}")
        self._say(f"{stage.name}: done in {duration(seconds)}")

    def _validation(self, work: Work | None) -> Validation:
        teacher = None if work is None else work.teacher
        given = self._inputs, self._job.metrics, self._job.progress_images, self._accelerator.device
        return Validation(teacher, *given)

    def _log(self, stage: Stage) -> RunLog:
        board = None if self._boards is None else self._boards / stage.directory.name
        return RunLog(stage.directory, self._say, step=stage.name, place=stage.place, show=self._show, board=board)
