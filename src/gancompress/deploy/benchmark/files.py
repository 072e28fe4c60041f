"""Timing of exported files beside the network that they come from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gancompress.deploy import ExportReport, Mode
from gancompress.deploy.axes import Inputs, at_batch
from gancompress.deploy.benchmark.statistics import ratio
from gancompress.deploy.benchmark.threads import time_in_turns
from gancompress.deploy.benchmark.workers import Task
from gancompress.deploy.runtimes.registry import runtime_of
from gancompress.report import FileSpeed, Latency

_ORIGINAL = "original"


def time_files(
    original: Path,
    example: Inputs,
    files: Iterable[ExportReport],
    inputs: Inputs,
    *,
    rounds: int = 10,
    runs: int = 3,
    threads: int | None = None,
) -> dict[Path, FileSpeed]:
    """Time files beside the original network in PyTorch eager, float32, one image at once.

    All take turns, each in a process of its own.

    Args:
        original: A saved generator.
        example: Example inputs of the generator, [1, ...] each.
        files: Reports of the exported files; files that no installed runtime runs here are skipped.
        inputs: Example inputs of the files.
        rounds: Turns of each.
        runs: Timed runs in a turn; at least two over all rounds.
        threads: Threads of each process; by default the better number for each: one, or all that PyTorch has here.

    Raises:
        ExportError: A runtime refuses a file.
    """
    modes = {file.path: mode for file in files if (mode := _mode_of(file)) is not None}
    if not modes:
        return {}
    tasks: dict[Path | str, Task] = {_ORIGINAL: Task("eager", original, example, threads)}
    tasks |= {path: Task(mode.name, path, at_batch(inputs, 1), threads) for path, mode in modes.items()}
    found = time_in_turns(tasks, threads, rounds, runs)
    eager = found[_ORIGINAL]
    return {
        path: FileSpeed(
            mode.title,
            found[path].threads,
            Latency.of(found[path].flat()),
            Latency.of(eager.flat()),
            *ratio(eager.times_ms, found[path].times_ms),
            original_threads=eager.threads,
        )
        for path, mode in modes.items()
    }


def _mode_of(file: ExportReport) -> Mode | None:
    """Return an available mode that runs a file in its precision; otherwise any available one, if there is one."""
    runtime = runtime_of(file.path)
    if runtime is None:
        return None
    modes = [mode for mode in runtime.modes if file.path.suffix in mode.endings and not runtime.unavailable(mode)]
    return next((mode for mode in modes if mode.precision == file.precision), next(iter(modes), None))
