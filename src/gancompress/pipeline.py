"""Running a job: the teacher, the steps, the measurements, the exports, the report. The same call resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from torch import Tensor

from gancompress.cost import Cost, CostModel
from gancompress.export import OnnxReport, export_generator
from gancompress.job import Job
from gancompress.metrics import MetricResult
from gancompress.models.generator import Generator
from gancompress.models.importers import load_generator
from gancompress.models.weight_files import write_atomically
from gancompress.report import sample_grid
from gancompress.run_log import RunLog
from gancompress.steps import Step, Work
from gancompress.steps.evaluation import Evaluation
from gancompress.steps.step import Budget, Context
from gancompress.tasks import find_task
from gancompress.training import TrainingLog

FORMAT_VERSION = 1
"""Part of every fingerprint: raised when a step's result would no longer be the same."""


@dataclass(frozen=True)
class Measured:
    """A network and what was measured of it.

    Attributes:
        generator: The network.
        cost: At the size of the data, batch 1.
        metrics: By name; those against the teacher end with ``_to_teacher``.
    """

    generator: Generator
    cost: Cost
    metrics: Mapping[str, MetricResult]


@dataclass(frozen=True)
class Outcome:
    """What a job came to.

    Attributes:
        job: The job.
        directory: The run directory.
        teacher: The network that was given or trained.
        compressed: The network that came out.
        exports: The files that were written.
        records: What each step noted when it was done, in their order.
    """

    job: Job
    directory: Path
    teacher: Measured
    compressed: Measured
    exports: tuple[OnnxReport, ...]
    records: tuple[Mapping[str, Any], ...]


class Pipeline:
    """One run of a job, in one directory."""

    def __init__(
        self,
        job: Job,
        directory: Path,
        say: Callable[[str], None],
        stop: Callable[[], bool] = lambda: False,
        accelerator: Accelerator | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            job: What to do.
            directory: The run directory; what is finished there already is not done again.
            say: Where to tell the user what happens, a line at a time.
            stop: Whether the user asked to stop.
            accelerator: Device and processes; found out where left out.
        """
        self._job, self._directory, self._say, self._stop = job, directory, say, stop
        self._accelerator = accelerator or Accelerator()
        self._records: list[Mapping[str, Any]] = []

    def teacher(self) -> Work:
        """The teacher: read from its checkpoint, or trained. It lies in ``teacher/`` then, its discriminator beneath.

        Raises:
            GanCompressError: In one of its kinds, where the user can mend it.
        """
        options = self._job.teacher
        if options.train is not None:
            work = self._step("teacher", options.train, self._fingerprint([]), None, None)
        else:
            assert options.checkpoint is not None
            teacher = load_generator(options.checkpoint, options.family)
            judge = load_generator(options.discriminator) if options.discriminator else None
            work = Work(teacher, teacher, judge)
        if self._accelerator.is_main_process:
            work.teacher.save(self._directory / "teacher")
            if work.discriminator is not None:
                work.discriminator.save(self._directory / "teacher" / "discriminator")
        return work

    def run(self) -> Outcome:
        """Do all that is left to do.

        Raises:
            GanCompressError: In one of its kinds, where the user can mend it.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        description = yaml.safe_dump(self._job.model_dump(mode="json"), sort_keys=False)
        write_atomically(self._directory / "job.yaml", description.encode())
        self._job.data.check_splits()
        work = self.teacher()
        budget = self._budget(work.teacher)
        for number, step in enumerate(self._job.steps):
            name = f"{number + 1}-{step.kind}"
            work = self._step(name, step, self._fingerprint(self._job.steps[: number + 1]), work, budget)
        work.generator.save(self._directory)
        teacher, compressed = self._measure(work.teacher, None), self._measure(work.generator, work.teacher)
        exports = self._export(work.generator)
        self._samples(work)
        return Outcome(self._job, self._directory, teacher, compressed, exports, tuple(self._records))

    def evaluate(self, split: str) -> Measured:
        """Measure the network that a finished run left, on any split.

        Raises:
            GanCompressError: In one of its kinds, where the user can mend it.
        """
        return self._measure(Generator.load(self._directory), self.teacher().teacher, split)

    def example(self) -> Tensor:
        """An input of the generators, [1, c, h, w]."""
        return self._measuring().example()

    def _context(self, directory: Path, log: TrainingLog, budget: Budget | None) -> Context:
        job = self._job
        return Context(
            task=find_task(job.task),
            data=job.data,
            budget=budget,
            directory=directory,
            accelerator=self._accelerator,
            log=log,
            seed=job.seed,
            num_workers=job.num_workers,
            stop=self._stop,
            metrics=job.metrics,
        )

    def _step(self, name: str, step: Step, fingerprint: str, work: Work | None, budget: Budget | None) -> Work:
        directory = self._directory / "steps" / f"{name}-{fingerprint[:8]}"
        done = directory / "done.json"
        if done.is_file():
            self._say(f"{name}: done before, taken from {directory}")
            self._records.append(json.loads(done.read_text()))
            return _load_work(directory, work)
        for other in sorted((self._directory / "steps").glob(f"{name}-*/done.json")):
            self._say(f"{name}: the recipe has changed since {other.parent}; that result stays there unused")
        self._say(f"{name}: {'goes on' if directory.exists() else 'starts'}")
        directory.mkdir(parents=True, exist_ok=True)
        log, began = RunLog(directory, self._say), time.perf_counter()
        result = step.run(work, self._context(directory, log, budget))  # type: ignore[arg-type]
        seconds = time.perf_counter() - began
        record = {"step": name, "kind": step.kind, "directory": directory.name, "seconds": seconds, **result.facts}
        self._records.append(record)
        if self._accelerator.is_main_process:
            _save_work(result, directory)
            with (self._directory / "records.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
            write_atomically(done, json.dumps(record, indent=2).encode())
        self._accelerator.wait_for_everyone()
        return result

    def _fingerprint(self, steps: Any) -> str:
        """Changes whenever something changes that the result of these steps depends on."""
        job = self._job.model_dump(mode="json", include={"seed", "task", "data", "teacher", "budget"})
        if not steps:
            job.pop("budget")
        described = [step.model_dump(mode="json") for step in steps]
        return sha256(json.dumps([FORMAT_VERSION, job, described], sort_keys=True).encode()).hexdigest()

    def _budget(self, teacher: Generator) -> Budget | None:
        options = self._job.budget
        if options is None:
            return None
        return options.of(float(self._cost(teacher).macs.count(options.convention)))

    def _cost(self, generator: Generator) -> Cost:
        graph = self._measuring().graph(generator)
        return CostModel(graph).at(graph.full_plan())

    def _measuring(self) -> Context:
        return self._context(self._directory, RunLog(self._directory, self._say), None)

    def _measure(self, generator: Generator, teacher: Generator | None, split: str = "test") -> Measured:
        context, options = self._measuring(), self._job.metrics
        results = Evaluation(options, options.against_real, context, split).of(generator.build())
        metrics = {result.name: result for result in results}
        if teacher is not None:
            again = Evaluation(options, options.against_teacher, context, split, teacher.build())
            metrics |= {f"{r.name}_to_teacher": r for r in again.of(generator.build())}
        return Measured(generator, self._cost(generator), metrics)

    def _export(self, generator: Generator) -> tuple[OnnxReport, ...]:
        exports = self._directory / "exports"
        return tuple(
            export_generator(generator, (self.example(),), exports / f"model.{name}") for name in self._job.exports
        )

    def _samples(self, work: Work) -> None:
        context = self._measuring()
        batch = context.first_images("test", 6)
        with torch.no_grad():
            images: dict[str, Tensor] = {
                "teacher": work.teacher.build()(batch["input"]),
                "compressed": work.generator.build()(batch["input"]),
            }
        (self._directory / "samples").mkdir(exist_ok=True)
        sample_grid(context.task.columns(batch, images), self._directory / "samples" / "test.png")


def _save_work(work: Work, directory: Path) -> None:
    work.generator.save(directory / "generator")
    if work.discriminator is not None:
        work.discriminator.save(directory / "discriminator")


def _load_work(directory: Path, before: Work | None) -> Work:
    generator = Generator.load(directory / "generator")
    judge = directory / "discriminator"
    discriminator = Generator.load(judge) if judge.is_dir() else None
    return Work(before.teacher if before else generator, generator, discriminator)
