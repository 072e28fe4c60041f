"""Pipeline of a job: teacher, steps, metrics, exports and report. The same call resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from accelerate import Accelerator
from torch import Tensor, nn

from gancompress.cost import Cost, CostModel
from gancompress.deploy import ExportReport, Precision, export_generator, file_name, missing_package
from gancompress.deploy.benchmark import export_fastest
from gancompress.errors import CheckpointError, ConfigError, ExportError
from gancompress.evaluation import MetricResult, find_perceptual
from gancompress.fingerprint import Fingerprints
from gancompress.io import write_atomically
from gancompress.job import Job
from gancompress.methods.budget import CostLimit
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import MEASURED, NOT_DECLARED, STANDARD, measured_images
from gancompress.networks.importers import load_generator
from gancompress.networks.noise import kept_noise
from gancompress.quantization import FLOAT, Quantization, QuantizationOptions, QuantizedSize
from gancompress.report import TO_TEACHER, TriedFile
from gancompress.report.grid import sample_grid
from gancompress.report.tensorboard import TensorBoard
from gancompress.report.wording import duration
from gancompress.run_log import RunLog, Show
from gancompress.steps import Step, Work
from gancompress.steps.evaluation import Evaluation
from gancompress.steps.latent_evaluation import check_styles, latent_metrics
from gancompress.steps.latent_pictures import latent_pictures
from gancompress.steps.step import Context, GraphCache, StepLog
from gancompress.tasks import LatentTask, find_task

_NUM_MEASURED = 8
"""Number of training images on which a range is measured."""

DONE_FILE = "done.json"
"""Record of a finished step; a step whose directory holds it is finished."""


@dataclass(frozen=True)
class Measured:
    """A network and its measurements.

    Attributes:
        generator: The network, in float.
        cost: Cost at the size of the data, batch 1.
        weight_bytes: Bytes of its weights, each at its bits.
        quantization: Quantization of the network; None if it is not quantized.
        metrics: Metrics by name, with the quantization; those against the teacher end with ``_to_teacher``.
    """

    generator: Generator
    cost: Cost
    weight_bytes: int
    quantization: QuantizationOptions | None
    metrics: Mapping[str, MetricResult]


@dataclass(frozen=True)
class Outcome:
    """Result of a job.

    Attributes:
        job: The job.
        directory: The run directory.
        teacher: The network that was given or trained.
        compressed: The compressed network.
        exports: The exported files, each with its difference from eager PyTorch.
        records: Records of the steps, in their order.
        pictures: Captions of pictures by their path in the run directory; the sample grid is not among them.
        tried: Files that were timed to choose an exported file, by its path.
        file_inputs: An example of each input of the files.
    """

    job: Job
    directory: Path
    teacher: Measured
    compressed: Measured
    exports: tuple[ExportReport, ...]
    records: tuple[Mapping[str, Any], ...]
    pictures: Mapping[str, str] = field(default_factory=dict)
    tried: Mapping[Path, Sequence[TriedFile]] = field(default_factory=dict)
    file_inputs: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Stage:
    """A step with its position in a run.

    Attributes:
        name: Either ``teacher``, or number and kind.
        place: Position among the steps, in words.
        step: The step.
        directory: Directory of the step; its name holds the fingerprint of everything that the result depends on.
    """

    name: str
    place: str
    step: Step
    directory: Path

    @property
    def state(self) -> Literal["done", "begun", "new"]:
        """State of its directory."""
        if (self.directory / DONE_FILE).is_file():
            return "done"
        return "begun" if self.directory.is_dir() else "new"

    @property
    def replaced(self) -> list[Path]:
        """Directories of finished steps of this name with another fingerprint."""
        done = sorted(self.directory.parent.glob(f"{self.name}-*/{DONE_FILE}"))
        return [file.parent for file in done if file.parent != self.directory]


class Pipeline:
    """One run of a job, in one directory."""

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

        Raises:
            ConfigError: TensorBoard is requested, but not installed.
        """
        if tensorboard:
            TensorBoard.check()
        self._show, self._tensorboard = show, tensorboard
        self._job, self._directory, self._say, self._stop = job, directory, say, stop
        self._accelerator = accelerator or Accelerator()
        self._records: list[Mapping[str, Any]] = []
        self._graphs: GraphCache = {}
        self._fingerprints = Fingerprints(job)

    def teacher(self) -> Work:
        """Return the teacher, read or trained; save it to ``teacher/``, with its discriminator, beside ``job.yaml``.

        Raises:
            GanCompressError: An error that the user can fix; the subclass tells which.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        description = yaml.safe_dump(self._job.model_dump(mode="json"), sort_keys=False)
        write_atomically(self._directory / "job.yaml", description.encode())
        self._job.data.check_splits()
        options = self._job.teacher
        if options.training is not None:
            work = self._step(self._stages()[0], None, None)
        elif options.shipped is not None:
            self._say(f"teacher: '{options.shipped.name}', which comes with gancompress")
            teacher, discriminator = options.shipped.load()
            work = Work(teacher, teacher, discriminator)
        else:
            assert options.checkpoint is not None
            teacher = self._with_images(load_generator(options.checkpoint, options.family, images=options.images))
            judge = load_generator(options.discriminator, role="discriminator") if options.discriminator else None
            work = Work(teacher, teacher, judge)
        if self._accelerator.is_main_process:
            work.teacher.save(self._directory / "teacher")
            if work.discriminator is not None:
                work.discriminator.save(self._directory / "teacher" / "discriminator")
        return work

    def _with_images(self, teacher: Generator) -> Generator:
        """Return the teacher with its image formats, which are measured if the options ask for it, and logged."""
        context = self._measuring()
        declared = teacher.architecture.images
        if self._job.teacher.range == MEASURED:
            images = context.task.encode(context.first_images("train", _NUM_MEASURED)["input"])
            declared = measured_images(teacher.architecture.with_images(STANDARD).build_with(teacher.state), images)
            self._say(f"teacher: {teacher.family}: images measured to be in {declared}")
        if declared is None:
            self._say(f"teacher: {teacher.family} {NOT_DECLARED}; say otherwise with teacher.range")
        elif context.task.takes_labels and declared.input.range not in (None, STANDARD.input.range):
            raise ConfigError(
                f"teacher: range: got {declared} for a network of label maps, whose input holds no images, expected "
                f"'unchanged to {declared.output}'"
            )
        return replace(teacher, architecture=teacher.architecture.with_images(declared))

    def run(self) -> Outcome | None:
        """Run everything that is not finished.

        Returns:
            The result; None in processes other than the main one, which measures, exports and reports.

        Raises:
            GanCompressError: An error that the user can fix; the subclass tells which.
        """
        self._check_exports()
        work = self.teacher()
        measured = self._job.metrics
        check_styles(latent_metrics(measured.against_real, measured), work.teacher.build())
        budget = self._budget(work.teacher)
        for stage in self._stages()[-len(self._job.steps) :]:
            work = self._step(stage, work, budget)
        if not self._accelerator.is_main_process:
            return None
        _save_network(work, self._directory)
        self._do("measuring teacher and compressed network on test")
        teacher, compressed = self._measure(Work(work.teacher, work.teacher)), self._measure(work)
        self._do("exporting")
        form = self._file_form(work.build())
        exports, tried = self._export(work, form)
        self._samples(work)
        pictures = self._pictures(work)
        self._do("timing networks and files")
        return Outcome(
            job=self._job,
            directory=self._directory,
            teacher=teacher,
            compressed=compressed,
            exports=exports,
            records=tuple(self._records),
            pictures=pictures,
            tried=tried,
            file_inputs=form.inputs,
        )

    def outlook(self) -> list[Stage]:
        """Return the stages that `run` would run: the teacher, if it is to be trained, and the steps. Writes nothing.

        Raises:
            CheckpointError: There is no such checkpoint, or the shipped teacher is damaged.
            ExportError: A package is missing that an export needs.
            DataError: A split cannot be opened, or splits share files.
        """
        if self._job.teacher.shipped is not None:
            self._job.teacher.shipped.check()
        self._check_exports()
        for path in (self._job.teacher.checkpoint, self._job.teacher.discriminator):
            if path is not None and not Path(path).exists():
                raise CheckpointError(f"{path}: no such file or directory, expected the teacher's weights")
        self._job.data.check_splits()
        return self._stages()

    def evaluate(self, split: str, of: Literal["compressed", "teacher"] = "compressed") -> Measured:
        """Evaluate the compressed network of a finished run, or its teacher, on any split.

        Raises:
            GanCompressError: An error that the user can fix; the subclass tells which.
        """
        work = self._finished()
        return self._measure(work if of == "compressed" else Work(work.teacher, work.teacher), split)

    def pictures(self) -> dict[str, str]:
        """Draw pictures of a finished run's networks; return their captions by path. Raises what `evaluate` does."""
        return self._pictures(self._finished())

    def _finished(self) -> Work:
        return _load_network(self._directory, Generator.load(self._directory / "teacher"))

    def file_inputs(self, network: nn.Module, num_images: int, split: str = "train") -> list[tuple[Tensor, ...]]:
        """Return the first images of a split as inputs of a network's files, four in each.

        Args:
            network: The network.
            num_images: Number of images.
            split: Name of the split.

        Raises:
            DataError: There is no such data.
        """
        context = self._measuring()
        return [context.task.file_form(network, b["input"]).inputs for b in context.images(split, 4, num_images)]

    def example(self) -> Tensor:
        """Return an input of the generators, [1, c, h, w]."""
        return self._measuring().example()

    def cost(self, generator: Generator) -> Cost:
        """Return the cost of a generator at the size of the data, batch 1."""
        graph = self._measuring().graph(generator)
        return CostModel(graph).at(graph.full_plan())

    def _context(self, directory: Path, log: StepLog, budget: CostLimit | None) -> Context:
        job = self._job
        return Context(
            task=find_task(job.task, job.data),
            data=job.data,
            budget=budget,
            directory=directory,
            accelerator=self._accelerator,
            log=log,
            seed=job.seed,
            num_workers=job.num_workers,
            stop=self._stop,
            metrics=job.metrics,
            graphs=self._graphs,
        )

    def _stages(self) -> list[Stage]:
        """Return the stages: the teacher, if it is to be trained, and the steps."""
        steps, train = self._job.steps, self._job.teacher.training
        stages = [self._stage("teacher", f"before {len(steps)} steps", train, [])] if train is not None else []
        for number, step in enumerate(steps, start=1):
            stages.append(self._stage(f"{number}-{step.kind}", f"step {number} of {len(steps)}", step, steps[:number]))
        return stages

    def _stage(self, name: str, place: str, step: Step, until: Sequence[Step]) -> Stage:
        return Stage(name, place, step, self._directory / "steps" / f"{name}-{self._fingerprints.of(until)[:8]}")

    def _step(self, stage: Stage, work: Work | None, budget: CostLimit | None) -> Work:
        directory = stage.directory
        self._accelerator.wait_for_everyone()  # so that all processes find the same files
        if stage.state == "done":
            self._say(f"{stage.name}: done before, taken from {directory}")
            self._records.append(json.loads((directory / DONE_FILE).read_text()))
            return _load_work(directory, work)
        for other in stage.replaced:
            self._say(
                f"{stage.name}: the recipe or gancompress has changed since {other}; that result stays there unused"
            )
        self._say(f"{stage.name}: {'goes on' if stage.state == 'begun' else 'starts'}, {stage.place}")
        directory.mkdir(parents=True, exist_ok=True)
        clock = _Clock(directory)
        torch.manual_seed(self._job.seed)  # draws of a step do not depend on the steps that this process ran before
        with self._log(stage) as log, clock:
            result = stage.step.run(work, self._context(directory, log, budget))  # type: ignore[arg-type]
        seconds = clock.seconds
        facts = {"step": stage.name, "kind": stage.step.kind, "directory": directory.name, "seconds": seconds}
        self._records.append({**facts, **result.facts})
        if self._accelerator.is_main_process:
            _save_work(result, directory)
            lines = "".join(f"{json.dumps(record)}\n" for record in self._records)
            write_atomically(self._directory / "records.jsonl", lines.encode())
            write_atomically(directory / DONE_FILE, json.dumps(self._records[-1], indent=2).encode())
        self._accelerator.wait_for_everyone()
        if note := result.facts.get("note"):
            self._say(f"{stage.name}: {note}")
        self._say(f"{stage.name}: done in {duration(seconds)}")
        return _load_work(directory, work)  # every process loads what the main one saved

    def _do(self, what: str) -> None:
        if self._show is not None:
            self._show(what)

    def _log(self, stage: Stage) -> RunLog:
        board = self._directory / "tensorboard" / stage.directory.name if self._tensorboard else None
        return RunLog(stage.directory, self._say, step=stage.name, place=stage.place, show=self._show, board=board)

    def _budget(self, teacher: Generator) -> CostLimit | None:
        options = self._job.budget
        if options is None:
            return None
        return options.limit(self._measuring().graph(teacher))

    def _measuring(self) -> Context:
        return self._context(self._directory, RunLog(self._directory, self._say), None)

    def _measure(self, work: Work, split: str = "test") -> Measured:
        context, measured, generator = self._measuring(), self._job.metrics, work.generator
        network = work.build()
        results = Evaluation(measured, measured.against_real, context, split).of(network)
        metrics = {result.name: result for result in results}
        if generator is not work.teacher:
            again = Evaluation(measured, measured.against_teacher, context, split, work.teacher.build())
            metrics |= {f"{r.name}{TO_TEACHER}": r for r in again.of(network)}
        graph = context.graph(generator)
        plan, options = graph.full_plan(), work.quantization and work.quantization.options
        size = QuantizedSize(graph, options or FLOAT).at(plan)
        return Measured(generator, CostModel(graph).at(plan), size, options, metrics)

    def _file_form(self, network: nn.Module) -> FileForm:
        context = self._measuring()
        return context.task.file_form(network, context.first_images("test", 1)["input"])

    def _check_exports(self) -> None:
        """Report the files that are skipped because a package is missing.

        Raises:
            ExportError: A file that must not be skipped lacks its package.
        """
        for number, each in enumerate(self._job.exports):
            if (missing := missing_package(each.format)) is None:
                continue
            if not each.if_installed:
                raise ExportError(f"exports.{number}: {each.format} {missing}")
            self._say(f"exports.{number}: left out, because {each.format} {missing}")

    def _export(
        self, work: Work, form: FileForm
    ) -> tuple[tuple[ExportReport, ...], Mapping[Path, Sequence[TriedFile]]]:
        """Return the exported files, and for those that were chosen by timing the candidates."""
        wanted = [each for each in self._job.exports if missing_package(each.format) is None]
        if not wanted:
            return (), {}
        exports, network, measured = self._directory / "exports", work.build(), self._job.metrics
        names = (*measured.against_teacher, *measured.against_real)
        perceptual = find_perceptual(names, measured.specs(), "cpu")  # files run on the CPU
        numbers = [each.num_images if each.calibrates else each.num_images // 4 for each in wanted]
        images = {number: self.file_inputs(network, number) for number in set(numbers)}
        reports, tried = [], {}
        for each, number in zip(wanted, numbers, strict=True):
            path = exports / file_name(each.format, each.precision)
            if each.precision == "fastest":
                what = work.generator, form, path, each.format, images[number], each.min_psnr_db
                found = export_fastest(*what, perceptual=perceptual, threads=each.threads, say=self._do)
                reports.append(found.report)
                tried[path] = found.tried
                continue
            precision = Precision(each.precision or "fp32", images[number], each.min_psnr_db)
            how = each.format, each.rewrites, precision, perceptual
            reports.append(export_generator(work.generator, form, path, *how))
        return tuple(reports), tried

    def _samples(self, work: Work) -> None:
        context = self._measuring()
        batch = context.first_images("test", 6)
        given = context.task.encode(batch["input"])
        teacher, compressed = work.teacher.build(), work.build()
        shared = kept_noise(teacher, compressed)
        with torch.no_grad():
            images: dict[str, Tensor] = {
                "original (teacher)": teacher(given, **shared),
                "compressed": compressed(given, **shared),
            }
        (self._directory / "samples").mkdir(exist_ok=True)
        sample_grid(context.task.columns(batch, images), self._directory / "samples" / "test.png")

    def _pictures(self, work: Work) -> dict[str, str]:
        """Draw pictures of latent spaces, for tasks that have one; return their captions by path."""
        task = self._measuring().task
        if not isinstance(task, LatentTask):
            return {}
        pictures = latent_pictures(task, {"teacher": work.teacher.build(), "compressed": work.build()})
        (self._directory / "samples").mkdir(exist_ok=True)
        captions = {}
        for name, picture in pictures.items():
            captions[f"samples/{name}.png"] = picture.caption
            sample_grid(picture.columns, self._directory / "samples" / f"{name}.png", picture.rows)
        return captions


class _Clock:
    """Running time of a step, including earlier processes that were stopped."""

    def __init__(self, directory: Path) -> None:
        self._file, self._began = directory / "seconds.json", time.perf_counter()
        self._before = json.loads(self._file.read_text()) if self._file.is_file() else 0.0

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + time.perf_counter() - self._began

    def __enter__(self) -> None:
        """Do nothing: the clock runs from its creation."""

    def __exit__(self, *_: object) -> None:
        """Save the time for a resumed run; errors of a full disk are ignored."""
        with suppress(OSError):
            write_atomically(self._file, json.dumps(self.seconds).encode())


def _save_work(work: Work, directory: Path) -> None:
    _save_network(work, directory / "generator")
    if work.discriminator is not None:
        work.discriminator.save(directory / "discriminator")
    if work.uncut is not None:
        work.uncut.save(directory / "uncut")


def _load_work(directory: Path, before: Work | None) -> Work:
    work = _load_network(directory / "generator", before.teacher if before else None)
    found = {part: directory / part for part in ("discriminator", "uncut")}
    return replace(work, **{part: Generator.load(each) for part, each in found.items() if each.is_dir()})


def _save_network(work: Work, directory: Path) -> None:
    work.generator.save(directory)
    if work.quantization is None:
        Quantization.remove(directory)
    else:
        work.quantization.save(directory)


def _load_network(directory: Path, teacher: Generator | None) -> Work:
    generator = Generator.load(directory)
    return Work(teacher or generator, generator, quantization=Quantization.load(directory))
