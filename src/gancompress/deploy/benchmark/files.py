"""Timing of exported files beside the network that they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gancompress.deploy import ExportReport, Mode
from gancompress.deploy.axes import Inputs, at_batch
from gancompress.deploy.benchmark.statistics import ratio
from gancompress.deploy.benchmark.threads import BestTurns, at_thread_counts, time_in_turns
from gancompress.deploy.benchmark.workers import Task, Worker, flat, workers
from gancompress.deploy.runtimes.registry import runtime_of
from gancompress.errors import ExportError
from gancompress.report import FileSpeed, Latency

_ORIGINAL = None
"""Key of the original network; those of files are their paths."""
_AT_ONCE = 4
"""Number of files timed side by side: each takes a process of some 300 MB for each number of threads."""


def time_files(
    original: Path,
    example: Inputs,
    files: Iterable[ExportReport],
    inputs: Inputs,
    *,
    rounds: int = 10,
    runs: int = 3,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[Path, FileSpeed]:
    """Time files beside the original network in PyTorch eager, float32, one image at once.

    They take turns, a few at once, each in a process of its own. That of the original is the same for all, because
    processes of one network differ by several percent. A file that its runtime refuses is left out.

    Args:
        original: A saved generator.
        example: Example inputs of the generator.
        files: Reports of the exported files; files that no installed runtime runs here are skipped.
        inputs: Example inputs of the files.
        rounds: Turns of each.
        runs: Timed runs in a turn; at least two over all rounds.
        threads: Threads of each process; by default the better number for each: one, or all that PyTorch has here.
        say: Reports the files that are left out, and that other programs lengthened the times.
    """
    modes = {file.path: mode for file in files if (mode := _mode_of(file)) is not None}
    eager = Task("eager", original, at_batch(example, 1), threads)
    tasks = {path: Task(mode.name, path, at_batch(inputs, 1), threads) for path, mode in modes.items()}
    alone: dict[Path | None, Task] = {_ORIGINAL: eager} if tasks else {}
    try:
        with workers(at_thread_counts(alone, threads)) as originals:
            found = _in_groups(originals, tasks, threads, rounds, runs, say)
    except ExportError as error:  # of the original
        say(f"no file was timed: {error}")
        return {}
    if found and (note := max(found.values(), key=lambda each: each.turns.waited).turns.note) is not None:
        say(note)
    return {path: _speed(path, modes[path], each) for path, each in found.items()}


def _in_groups(
    originals: Mapping[tuple[Path | None, int], Worker],
    tasks: Mapping[Path, Task],
    threads: int | None,
    rounds: int,
    runs: int,
    say: Callable[[str], None],
) -> dict[Path, BestTurns[Path | None]]:
    """Time a few files at once in turns with the original; return the times by path."""

    def beside(*paths: Path) -> dict[Path, BestTurns[Path | None]]:
        some: dict[Path | None, Task] = {path: tasks[path] for path in paths}
        return dict.fromkeys(paths, time_in_turns(some, threads, rounds, runs, originals))

    found: dict[Path, BestTurns[Path | None]] = {}
    paths = list(tasks)
    for some in (paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE)):
        try:
            found |= beside(*some)
        except ExportError:
            for path in some:
                try:
                    found |= beside(path)
                except ExportError as error:
                    say(f"{path.name} was not timed: {error}")
    return found


def _speed(path: Path, mode: Mode, found: BestTurns[Path | None]) -> FileSpeed:
    original, own = found.turns.times_ms[_ORIGINAL], found.turns.times_ms[path]
    return FileSpeed(
        mode.title,
        found.threads[path],
        Latency.of(flat(own)),
        Latency.of(flat(original)),
        *ratio(original, own),
        original_threads=found.threads[_ORIGINAL],
        processor_time=found.turns.processor_time,
    )


def _mode_of(file: ExportReport) -> Mode | None:
    """Return an available mode that runs a file in its precision; otherwise any available one, if there is one."""
    runtime = runtime_of(file.path)
    if runtime is None:
        return None
    modes = [mode for mode in runtime.modes if file.path.suffix in mode.endings and not runtime.unavailable(mode)]
    return next((mode for mode in modes if mode.precision == file.precision), next(iter(modes), None))
