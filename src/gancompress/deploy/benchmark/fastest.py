"""Search for the fastest file of a generator that is close enough to it, by measuring."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gancompress.deploy import (
    DEFAULT_MIN_PSNR_DB,
    FP32,
    ExportReport,
    Format,
    Mode,
    PerceptualDistance,
    Precision,
    Runtime,
    export_generator,
    find_format,
    known_formats,
    on_parts,
    quality_of,
    takes_parts,
)
from gancompress.deploy.axes import Inputs, at_batch
from gancompress.deploy.benchmark.statistics import ratio
from gancompress.deploy.benchmark.threads import BestTurns, time_in_turns
from gancompress.deploy.benchmark.workers import Task, flat, take_turns, workers
from gancompress.errors import BudgetError, ConfigError, ExportError
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.quantization import quantized_layers
from gancompress.report import FileRow, Latency, fastest_row

FASTEST = "fastest"
"""Name of the choice of a precision by timing, in the place of a precision."""

_AT_ONCE = 8
"""Number of files timed side by side: each has a process of its own, of some 300 MB."""


@dataclass(frozen=True)
class Fastest:
    """Fastest file of a generator, and the files it was compared with.

    Attributes:
        report: Report of the file that was written.
        tried: All timed files, float32 first.
    """

    report: ExportReport
    tried: tuple[FileRow, ...]


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
    opset: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Fastest:
    """Write the fastest file of a format whose images are close enough to those of the float network.

    Candidates are float32, other precisions of the runtime, all layers in integers, and integers only for the layers
    that gain from them: a kind of layer stays float if the file is faster so, on the runtime's own threads. If integers
    are not close enough, more layers stay float, those first that remove the most error per added time. All candidates
    are timed in turns, each in its own process. Closeness is checked on a quarter of the images, and reported on
    another quarter. Of files that are as fast by measurement, the closest one is written.

    Args:
        generator: A generator in float.
        form: Form in which the file takes its inputs.
        path: The file to write.
        format: One of `timed_formats`.
        images: Inputs like those that the network will see, a few in each.
        min_psnr_db: The smallest peak signal-to-noise ratio to the float network.
        perceptual: Perceptual distance, see `export_generator`.
        rounds: Turns of each file.
        runs: Timed runs in a turn.
        threads: Threads of the runtime; by default the better number for each file: one, or all that PyTorch has here.
        opset: Opset of ONNX; the exporter's own by default.
        say: Reports progress.

    Raises:
        ConfigError: Files of this format are not timed, or the network is quantized already.
        ExportError: See `export_generator`.
        DataError: There are too few images.
    """
    runtime, kind = find_format(format, FASTEST)
    if _mode(runtime, kind) is None:
        raise ConfigError(
            f"fastest: got the format '{kind.name}', expected {' or '.join(timed_formats())}, whose files are timed"
        )
    if quantized_layers(form.module):
        raise ConfigError("fastest: got a quantized network, expected a float one; export it in precision int8")
    if takes_parts(kind, form):
        images = on_parts(generator, form, images)
    with TemporaryDirectory() as folder:
        trial = _Trial(
            generator,
            form,
            format,
            runtime,
            kind,
            images,
            min_psnr_db,
            Path(folder),
            perceptual,
            rounds,
            runs,
            threads,
            opset,
            say,
        )
        candidates = trial.candidates()
        times = trial.best_times(candidates)
        if times.turns.note is not None:
            say(times.turns.note)
        tried = {name: _tried(name, each, times) for name, each in candidates.items()}
        best = fastest_row([tried[name] for name, each in candidates.items() if each.close_enough])
        assert best is not None  # float32 is always close enough
        fastest = best.name
        report = candidates[fastest].report
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in report.path.parent.glob(f"{report.path.stem}.*"):
            shutil.move(file, path.with_suffix(file.suffix))
    tried[fastest] = replace(tried[fastest], best=True)
    return Fastest(replace(report, path=path), tuple(tried.values()))


def timed_formats() -> list[str]:
    """Return the names of formats whose fastest file can be found: they have int8, and a mode runs their files."""
    return [name for name in known_formats() if _mode(*find_format(name)) is not None]


def _mode(runtime: Runtime, kind: Format, precision: str = "fp32") -> Mode | None:
    if kind.integers is None:
        return None
    able = (mode for mode in runtime.modes if kind.ending in mode.endings and mode.precision == precision)
    return next(able, None)


@dataclass(frozen=True)
class _Candidate:
    """Exported file to time.

    Attributes:
        report: Report of the export.
        runtime: Name of the mode that times it.
        close_enough: Whether its images are close enough to those of the float network.
    """

    report: ExportReport
    runtime: str
    close_enough: bool


def _tried(name: str, candidate: _Candidate, times: BestTurns[str]) -> FileRow:
    quality = candidate.report.quality
    assert quality is not None  # every trial had images
    own, first = times.turns.times_ms[name], times.turns.times_ms["fp32"]
    return FileRow(
        name,
        Latency.of(flat(own)),
        *ratio(first, own),
        quality.psnr_db,
        threads=times.threads[name],
        processor_time=times.turns.processor_time,
        file_bytes=candidate.report.file_bytes,
        perceptual=quality.perceptual,
    )


@dataclass(frozen=True)
class _Trial:
    generator: Generator
    form: FileForm
    format: str
    runtime: Runtime
    kind: Format
    images: Sequence[Inputs]
    min_psnr_db: float
    folder: Path
    perceptual: PerceptualDistance | None
    rounds: int
    runs: int
    threads: int | None
    opset: int | None
    say: Callable[[str], None]

    def mode(self, precision: str = "fp32") -> str | None:
        """Return the name of the mode that computes float layers in a precision; None if the runtime has none."""
        mode = _mode(self.runtime, self.kind, precision)
        return mode and mode.name

    def candidates(self) -> dict[str, _Candidate]:
        everything = Precision("int8", self.images, min_psnr_db=0, float_layers=())
        held_out = everything.parts()[2]
        found = {"fp32": self._candidate(self._export("fp32", Precision("fp32", held_out)), True)}
        others = [each.name for each in self.kind.compute_types if not each.integers and each != FP32]
        for name in filter(self.mode, others):
            report = self._attempt(name, Precision(name, held_out, min_psnr_db=0))
            if report is not None:
                found[name] = self._candidate(report)
        whole = self._attempt("int8", everything)
        if whole is None:
            return found
        found["int8, all layers"] = rounded = self._candidate(whole)
        stay: tuple[str, ...] = ()
        costs: dict[str, float] = {}
        kinds = self.runtime.integer_layers(whole.path)
        if kinds:
            stay, costs = self._faster_in_float(whole.path, kinds)
            if stay:
                mixed = self._export("mixed", replace(everything, float_layers=stay))
                found["int8 where it pays"] = rounded = self._candidate(mixed)
        if not rounded.close_enough:
            self.say("integers are not close enough: finding the layers to keep in float")
            budget = replace(everything, float_layers=stay, min_psnr_db=self.min_psnr_db, milliseconds=costs)
            try:
                found["int8 within the budget"] = self._candidate(self._export("within", budget), True)
            except BudgetError as error:
                self.say(str(error))
        return found

    def _attempt(self, name: str, precision: Precision) -> ExportReport | None:
        """Export a precision that a network or its runtime may refuse; float32 remains then."""
        try:
            return self._export(name, precision)
        except (ConfigError, ExportError) as error:
            self.say(str(error))
            return None

    def _export(self, name: str, precision: Precision) -> ExportReport:
        self.say(f"exporting {name}")
        path = self.folder / name / self.kind.file_name
        how = {"precision": precision, "perceptual": self.perceptual, "opset": self.opset}
        return export_generator(self.generator, self.form, path, self.format, **how)

    def _candidate(self, report: ExportReport, close_enough: bool | None = None) -> _Candidate:
        """Return a candidate; its closeness is measured on the images for choices unless it is known."""
        if close_enough is None:
            _, choice, _ = Precision("int8", self.images).parts()
            close_enough = quality_of(report.path, self.form.module, choice).psnr_db >= self.min_psnr_db
        mode = self.mode(report.precision) or self.mode()
        assert mode is not None  # `export_fastest` has checked it
        return _Candidate(report, mode, close_enough)

    def _faster_in_float(
        self, whole: Path, kinds: Sequence[tuple[str, ...]]
    ) -> tuple[tuple[str, ...], dict[str, float]]:
        """Return the layers of an integer file that are faster in float, and the time that a float one adds."""
        mode = self.mode()
        assert mode is not None  # `export_fastest` has checked it
        self.say(f"timing {len(kinds)} kinds of layers in float, one at a time")
        stay: list[str] = []
        costs: dict[str, float] = {}
        for start in range(0, len(kinds), _AT_ONCE - 1):
            some = dict(enumerate(kinds[start : start + _AT_ONCE - 1], start))
            files = {str(number): self.folder / f"without-{number}{self.kind.ending}" for number in some}
            for number, layers in some.items():
                self.runtime.with_float_layers(whole, layers, files[str(number)])
            times = self.times({name: (mode, path) for name, path in [("whole", whole), *files.items()]})
            for number, layers in some.items():
                low = ratio(times["whole"], times[str(number)])[1]  # the lower quartile: three of four rounds agree
                extra = Latency.of(flat(times[str(number)])).median - Latency.of(flat(times["whole"])).median
                if low > 1:
                    stay.extend(layers)
                costs |= dict.fromkeys(layers, max(0.0, extra) / len(layers))
        return tuple(stay), costs

    def best_times(self, candidates: Mapping[str, _Candidate]) -> BestTurns[str]:
        """Return the times of candidates, each with its best number of threads."""
        inputs = at_batch(self.form.inputs, 1)
        tasks = {name: Task(each.runtime, each.report.path, inputs, None) for name, each in candidates.items()}
        return time_in_turns(tasks, self.threads, self.rounds, self.runs)

    def times(self, files: Mapping[str, tuple[str, Path]]) -> dict[str, list[list[float]]]:
        """Return the milliseconds of the runs of each turn, by name."""
        inputs = at_batch(self.form.inputs, 1)
        tasks = {name: Task(runtime, path, inputs, self.threads) for name, (runtime, path) in files.items()}
        with workers(tasks) as processes:
            return take_turns(processes, self.threads, self.rounds, self.runs).times_ms
