"""The fastest file of a generator that is close enough to it, found by measuring."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gancompress.benchmark.contestants import Task, contestants
from gancompress.benchmark.statistics import ratio
from gancompress.errors import BudgetError, ConfigError
from gancompress.export import (
    DEFAULT_MIN_PSNR_DB,
    FORMATS,
    ExportReport,
    PerceptualDistance,
    Precision,
    export_generator,
)
from gancompress.export.axes import Inputs, at_batch
from gancompress.export.integers import kinds_of_layers, without_rounding
from gancompress.models.generator import Generator
from gancompress.report import Latency
from gancompress.tasks import FileForm

RUNTIME_OF = {"onnx": "onnxruntime", "onnx_fixed": "onnxruntime", "openvino": "openvino"}
"""What times a format's files."""

Times = Mapping[str, list[list[float]]]


@dataclass(frozen=True)
class Variant:
    """A file that was tried.

    Attributes:
        name: Its precision, in words.
        report: What was exported.
        latency_ms: Of one run.
        faster: How many times faster than float32: median over rounds, and the quartiles.
    """

    name: str
    report: ExportReport
    latency_ms: Latency
    faster: tuple[float, float, float]

    @property
    def psnr_db(self) -> float:
        """Of its images, to those of the float network."""
        assert self.report.quality is not None  # every trial had images
        return self.report.quality.psnr_db


@dataclass(frozen=True)
class Fastest:
    """What was chosen, and from what.

    Attributes:
        chosen: The variant that was written.
        variants: All of them, float32 first.
    """

    chosen: Variant
    variants: tuple[Variant, ...]


def export_fastest(
    generator: Generator,
    form: FileForm,
    path: Path,
    format: str,
    images: Sequence[Inputs],
    min_psnr_db: float = DEFAULT_MIN_PSNR_DB,
    *,
    perceptual: PerceptualDistance | None = None,
    rounds: int = 8,
    runs: int = 2,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Fastest:
    """Write the fastest file of a format whose images are close enough to those of the float network.

    Tried are float32, what else the runtime computes in, all layers in integers, and integers where they pay: layers
    of one kind stay float where the file is faster so. Where integers are not close enough, more layers stay float,
    those first whose error goes for the least time. All are timed in turns, each in a process of its own.

    Args:
        generator: A generator in float.
        form: How the file takes its one input.
        path: The file to write.
        format: A name in `RUNTIME_OF`.
        images: Inputs like those that the network will see, a few in each.
        min_psnr_db: The smallest peak signal-to-noise ratio to the float network.
        perceptual: As for `export_generator`.
        rounds: Turns of each file.
        runs: Runs that are timed in a turn.
        threads: Threads of the runtime; its own choice by default.
        say: Where to tell what goes on.

    Raises:
        ConfigError: Files of this format are not timed, or the network takes several inputs.
        ExportError: As `export_generator`.
        DataError: There are too few images.
    """
    if format not in RUNTIME_OF:
        raise ConfigError(
            f"fastest: got the format '{format}', expected {' or '.join(RUNTIME_OF)}, whose files are timed"
        )
    if len(form.inputs) != 1:
        raise ConfigError(f"fastest: got a network of {len(form.inputs)} inputs, expected one; give its --precision")
    with TemporaryDirectory() as folder:
        trial = _Trial(generator, form, format, images, Path(folder), perceptual, rounds, runs, threads, say)
        reports = trial.candidates(min_psnr_db)
        runtimes = {name: "openvino_bf16" if name == "bf16" else trial.runtime for name in reports}
        times = trial.times({name: (runtimes[name], report.path) for name, report in reports.items()})
        variants = tuple(_variant(name, report, times) for name, report in reports.items())
        within = [each for each in variants if each.name == "fp32" or each.psnr_db >= min_psnr_db]
        chosen = max(within, key=lambda each: each.faster[0])
        for file in chosen.report.path.parent.glob(f"{chosen.report.path.stem}.*"):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, path.with_suffix(file.suffix))
    chosen = replace(chosen, report=replace(chosen.report, path=path))
    return Fastest(chosen, variants)


def _variant(name: str, report: ExportReport, times: Times) -> Variant:
    latency = Latency.of([time for turn in times[name] for time in turn])
    return Variant(name, report, latency, ratio(times["fp32"], times[name]))


@dataclass(frozen=True)
class _Trial:
    generator: Generator
    form: FileForm
    format: str
    images: Sequence[Inputs]
    folder: Path
    perceptual: PerceptualDistance | None
    rounds: int
    runs: int
    threads: int | None
    say: Callable[[str], None]

    @property
    def runtime(self) -> str:
        return RUNTIME_OF[self.format]

    def candidates(self, min_psnr_db: float) -> dict[str, ExportReport]:
        held_out = Precision("int8", self.images).held_out()
        reports = {"fp32": self._export("fp32", Precision("fp32", held_out))}
        if "bf16" in FORMATS[self.format].precisions:
            reports["bf16"] = self._export("bf16", Precision("bf16", held_out))
        everything = Precision("int8", self.images, min_psnr_db=0, float_layers=())
        reports["int8, all layers"] = whole = self._export("int8", everything)
        stay: tuple[str, ...] = ()
        costs: dict[str, float] = {}
        if self.runtime == "onnxruntime":
            stay, costs = self._faster_in_float(whole.path)
            if stay:
                reports["int8 where it pays"] = self._export("mixed", replace(everything, float_layers=stay))
        if all(each.quality and each.quality.psnr_db < min_psnr_db for name, each in reports.items() if "int8" in name):
            self.say("integers are not close enough: finding the layers to keep in float")
            within = replace(everything, float_layers=stay, min_psnr_db=min_psnr_db, milliseconds=costs)
            try:
                reports["int8 within the budget"] = self._export("within", within)
            except BudgetError as error:
                self.say(str(error))
        return reports

    def _export(self, name: str, precision: Precision) -> ExportReport:
        self.say(f"exporting {name}")
        path = self.folder / name / FORMATS[self.format].file_name
        return export_generator(
            self.generator, self.form, path, self.format, precision=precision, perceptual=self.perceptual
        )

    def _faster_in_float(self, whole: Path) -> tuple[tuple[str, ...], dict[str, float]]:
        """The layers of a file of integers that are faster in float, and what it costs to keep each other one float."""
        kinds = kinds_of_layers(whole)
        files = {"whole": (self.runtime, whole)}
        for number, layers in enumerate(kinds):
            files[str(number)] = (self.runtime, self.folder / f"without-{number}.onnx")
            without_rounding(whole, layers, files[str(number)][1])
        self.say(f"timing {len(kinds)} kinds of layers in float, one at a time")
        times = self.times(files)
        stay: list[str] = []
        costs: dict[str, float] = {}
        for number, layers in enumerate(kinds):
            low = ratio(times["whole"], times[str(number)])[1]  # the lower quartile: three of four rounds agree
            extra = Latency.of(_flat(times[str(number)])).median - Latency.of(_flat(times["whole"])).median
            if low > 1:
                stay.extend(layers)
            costs |= dict.fromkeys(layers, max(0.0, extra) / len(layers))
        return tuple(stay), costs

    def times(self, files: Mapping[str, tuple[str, Path]]) -> dict[str, list[list[float]]]:
        """Milliseconds of the runs of each turn, by name."""
        inputs = at_batch(self.form.inputs, 1)
        tasks = {name: Task(runtime, path, inputs, self.threads) for name, (runtime, path) in files.items()}
        with contestants(tasks) as processes:
            turns = [{name: each.times(self.runs) for name, each in processes.items()} for _ in range(self.rounds)]
        return {name: [turn[name] for turn in turns] for name in files}


def _flat(turns: Sequence[Sequence[float]]) -> list[float]:
    return [time for turn in turns for time in turn]
