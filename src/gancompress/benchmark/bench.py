"""Networks on runtimes, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from gancompress.benchmark.contestants import RUNTIMES, Contestant, Task
from gancompress.benchmark.statistics import Timing, ratio
from gancompress.errors import ConfigError, nearest
from gancompress.export import FORMATS, export_generator
from gancompress.models.generator import Generator
from gancompress.report import Latency
from gancompress.tasks import FileForm


@dataclass(frozen=True)
class Network:
    """A generator under the name by which the table calls it."""

    name: str
    generator: Generator


@dataclass(frozen=True)
class Bench:
    """What was measured.

    Attributes:
        shape: Of one image's input, batch 1.
        threads: Threads that each runtime had; None where it chose.
        rounds: Turns.
        timings: By batch, then runtime, then network.
    """

    shape: tuple[int, ...]
    threads: int | None
    rounds: int
    timings: tuple[Timing, ...]


def bench(
    networks: Sequence[Network],
    example: Tensor,
    runtimes: Sequence[str],
    batches: Sequence[int] = (1,),
    *,
    rounds: int = 10,
    runs: int = 3,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Bench:
    """Time networks on runtimes. All take turns, so that what else the machine does meets all alike.

    A network is exported to each format with the rewrites that help there, and compared with PyTorch, before it is
    timed. In its turn a network runs once uncounted, then ``runs`` times.

    Args:
        networks: What to time; the first one is what the others are compared with.
        example: An input of theirs, batch 1.
        runtimes: Names in `RUNTIMES`.
        batches: Images at once.
        rounds: Turns of each.
        runs: Runs that are timed in a turn.
        threads: Threads of each runtime; its own choice by default.
        say: Where to tell what goes on.

    Raises:
        ConfigError: There is no such runtime.
        ExportError: A runtime is missing, or a network cannot be exported or run.
    """
    for runtime in runtimes:
        if runtime not in RUNTIMES:
            raise ConfigError(f"--runtime: got '{runtime}', expected a known one; {nearest(runtime, RUNTIMES)}")
    with TemporaryDirectory() as folder:
        paths = {
            (runtime, network.name): _prepared(network, runtime, example, Path(folder), say)
            for runtime in runtimes
            for network in networks
        }
        timings = [
            timing
            for batch in batches
            for timing in _timed(paths, networks[0].name, (batch, *example.shape[1:]), rounds, runs, threads, say)
        ]
    return Bench(tuple(example.shape), threads, rounds, tuple(timings))


def _prepared(network: Network, runtime: str, example: Tensor, folder: Path, say: Callable[[str], None]) -> Path:
    """The file that a runtime runs, or the saved network."""
    kind = RUNTIMES[runtime]
    home = folder / network.name.replace("/", "_")
    if kind is None:
        if not home.is_dir():
            network.generator.save(home)
        return home
    path = home.with_name(f"{home.name}-{kind}") / FORMATS[kind].file_name
    if not path.exists():
        say(f"{network.name}: exporting to {kind}")
        export_generator(network.generator, FileForm(network.generator.build(), (example,)), path, kind)
    return path


def _timed(
    paths: dict[tuple[str, str], Path],
    first: str,
    shape: tuple[int, ...],
    rounds: int,
    runs: int,
    threads: int | None,
    say: Callable[[str], None],
) -> list[Timing]:
    with ExitStack() as stack:
        say(f"batch {shape[0]}: {len(paths)} candidates, {rounds} rounds")
        contestants = {
            key: stack.enter_context(Contestant(Task(key[0], str(path), shape, threads))) for key, path in paths.items()
        }
        turns = [{key: each.times(runs) for key, each in contestants.items()} for _ in range(rounds)]
        times = {key: [turn[key] for turn in turns] for key in contestants}
        timings = []
        for (runtime, name), each in contestants.items():
            own, eager = times[runtime, name], times.get(("eager", first))
            latency = Latency.of([time for turn in own for time in turn])
            path = paths[runtime, name]
            timings.append(
                Timing(
                    runtime=runtime,
                    network=name,
                    batch=shape[0],
                    latency_ms=latency,
                    images_per_second=1e3 * shape[0] / latency.median,
                    faster=ratio(times[runtime, first], own),
                    faster_than_eager=None if eager is None else ratio(eager, own),
                    peak_bytes=each.peak_bytes(),
                    disk_bytes=sum(f.stat().st_size for f in (path if path.is_dir() else path.parent).iterdir()),
                    operators_ms=each.profile(runs),
                )
            )
        return timings
