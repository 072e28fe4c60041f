"""Benchmark of networks and exported files on runtimes, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gancompress.deploy.axes import Inputs, image_size
from gancompress.deploy.benchmark.candidates import inputs_of, prepared
from gancompress.deploy.benchmark.runtimes import Candidate, check_runtimes
from gancompress.deploy.benchmark.statistics import Timing, ratio
from gancompress.deploy.benchmark.workers import Task, flat, take_turns, workers
from gancompress.deploy.named import NamedFile
from gancompress.deploy.runtimes.registry import size_on_disk
from gancompress.errors import ConfigError
from gancompress.report import Latency


@dataclass(frozen=True)
class Bench:
    """Result of a benchmark.

    Attributes:
        shapes: Shapes of the example inputs of each network's file, by the network's name.
        threads: Threads of each runtime; None for its own choice.
        rounds: Number of turns.
        timings: By batch, then runtime, then network.
        processor_time: Whether the times are processor time of one thread, instead of wall-clock time.
    """

    shapes: Mapping[str, tuple[tuple[int, ...], ...]]
    threads: int | None
    rounds: int
    timings: tuple[Timing, ...]
    processor_time: bool = False


def bench(
    candidates: Sequence[Candidate],
    runtimes: Sequence[str],
    batches: Sequence[int] = (1,),
    *,
    rounds: int = 10,
    runs: int = 3,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Bench:
    """Time networks on runtimes. All take turns, so that other load on the machine affects all alike.

    A network is exported to each format with the rewrites that help there, and compared with PyTorch, before it is
    timed; a file is timed unchanged. In its turn a network runs once uncounted, then ``runs`` times.

    Args:
        candidates: Networks and files to time; the others are compared with the first one.
        runtimes: Names in `gancompress.deploy.known_modes`, or import paths of runtimes.
        batches: Batch sizes.
        rounds: Turns of each candidate.
        runs: Timed runs in a turn; at least two over all rounds.
        threads: Threads of each runtime; its own choice by default.
        say: Reports progress.

    Raises:
        ConfigError: There is no such runtime, it cannot run one of the files, or images differ in size.
        InputSizeError: A file takes no such batch.
        ExportError: A runtime is missing, or a network cannot be exported or run.
    """
    runtimes = check_runtimes(runtimes, candidates, batches)
    _check_sizes(candidates)
    inputs = {
        (batch, runtime, each.name): inputs_of(each, runtime, batch)
        for batch in batches
        for runtime in runtimes
        for each in candidates
    }
    with TemporaryDirectory() as folder:
        paths = {
            (runtime, each.name): prepared(each, runtime, Path(folder), say)
            for runtime in runtimes
            for each in candidates
        }
        timings: list[Timing] = []
        processor_time = True
        for batch in batches:
            tasks = {key: Task(key[0], path, inputs[batch, *key], threads) for key, path in paths.items()}
            each, in_processor_time = _timed(tasks, candidates[0].name, batch, threads, rounds, runs, say)
            timings, processor_time = timings + each, processor_time and in_processor_time
    shapes = {each.name: tuple(tuple(example.shape) for example in _taken(each)) for each in candidates}
    return Bench(shapes, threads, rounds, tuple(timings), processor_time)


def _taken(candidate: Candidate) -> Inputs:
    return candidate.inputs if isinstance(candidate, NamedFile) else candidate.form.inputs


def _check_sizes(candidates: Sequence[Candidate]) -> None:
    """Raise ConfigError for candidates with images of different sizes."""
    first, *others = ((each.name, image_size(_taken(each))) for each in candidates)
    for name, size in others:
        if size != first[1]:
            got = " and ".join(
                f"{each} at {'no size' if px is None else f'{px[0]}x{px[1]}'}" for each, px in (first, (name, size))
            )
            raise ConfigError(f"bench: got {got}, expected inputs of one size; give --size, or export at the same one")


def _timed(
    tasks: Mapping[tuple[str, str], Task],
    first: str,
    batch: int,
    threads: int | None,
    rounds: int,
    runs: int,
    say: Callable[[str], None],
) -> tuple[list[Timing], bool]:
    """Return the timings of one batch, and whether they are processor time."""
    say(f"batch {batch}: {len(tasks)} candidates, {rounds} rounds")
    with workers(tasks) as processes:
        turns = take_turns(processes, threads, rounds, runs)
        if turns.note is not None:
            say(turns.note)
        times, timings = turns.times_ms, []
        for (runtime, name), each in processes.items():
            own, eager = times[runtime, name], times.get(("eager", first))
            latency = Latency.of(flat(own))
            timings.append(
                Timing(
                    runtime=runtime,
                    network=name,
                    batch=batch,
                    latency_ms=latency,
                    images_per_second=1e3 * batch / latency.median,
                    faster=ratio(times[runtime, first], own),
                    faster_than_eager=None if eager is None else ratio(eager, own),
                    peak_bytes=each.peak_bytes(),
                    disk_bytes=size_on_disk(tasks[runtime, name].path),
                    operators_ms=each.profile(runs),
                )
            )
        return timings, turns.processor_time
