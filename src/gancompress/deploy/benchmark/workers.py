"""Worker processes that time one network each, and the protocol between them and the benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, Self, TypeVar

import torch
from safetensors.torch import load, save

from gancompress.deploy import find_mode
from gancompress.deploy.axes import Inputs
from gancompress.deploy.runtimes.registry import import_path
from gancompress.deploy.runtimes.timed import RunTimes
from gancompress.errors import ExportError

Key = TypeVar("Key", bound=Hashable)

_MOST_WAITED = 0.1
"""Share of the wall-clock time for which threads may wait for a processor without a note."""

SETTLE_MS = 100.0
"""onnxruntime's threads spin for about 40 ms; meanwhile a network on two cores takes up to twice its time."""


@dataclass(frozen=True, eq=False)
class Task:
    """Network that a worker times, with its runtime and inputs.

    Attributes:
        runtime: A name in `gancompress.deploy.known_modes`.
        path: A file, or a saved generator where the mode runs networks.
        inputs: Inputs of the network, in its order; a page has its own.
        threads: Number of threads; None for the runtime's own choice.
    """

    runtime: str
    path: Path
    inputs: Inputs
    threads: int | None

    def sent(self) -> bytes:
        """Serialise the task: a line of JSON, followed by the inputs as safetensors."""
        tensors = save(
            {
                str(number): each.detach().cpu().clone(memory_format=torch.contiguous_format)
                for number, each in enumerate(self.inputs)
            }
        )
        origin = import_path(find_mode(self.runtime)[0])
        facts = {
            "runtime": self.runtime,
            "origin": origin,
            "path": str(self.path),
            "threads": self.threads,
            "num_bytes": len(tensors),
        }
        return json.dumps({"task": facts}).encode() + b"\n" + tensors

    @classmethod
    def received(cls, facts: Mapping[str, Any], stream: IO[bytes]) -> Self:
        """Deserialise a task; a runtime that is unknown to this process is registered.

        Args:
            facts: The ``task`` of the line.
            stream: Stream that holds the inputs after the line.
        """
        find_mode(facts["origin"])
        tensors = load(stream.read(facts["num_bytes"]))
        inputs = tuple(tensors[str(number)] for number in range(len(tensors)))
        return cls(facts["runtime"], Path(facts["path"]), inputs, facts["threads"])


class Worker:
    """Worker process that runs a network on request, and sleeps in between.

    Separate processes keep settings and thread pools of runtimes apart, and let memory be measured for each alone.
    """

    def __init__(self) -> None:
        """Start the process, without a network."""
        command = [sys.executable, "-m", "gancompress.deploy.benchmark.worker"]
        found = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # to import runtimes of users
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=found)

    def open(self, task: Task) -> None:
        """Open a network instead of the current one.

        Args:
            task: The task to time from now on.

        Raises:
            ExportError: The runtime is missing, or refuses the network.
        """
        self._name = f"{task.runtime} on {task.path.name}"
        self._ask(task.sent())

    def times(self, num_runs: int, settle_ms: float = SETTLE_MS) -> RunTimes:
        """Return the times of consecutive runs.

        Args:
            num_runs: Number of timed runs.
            settle_ms: Least duration of the uncounted runs before them, at least one: meanwhile the threads of the
                previous process, which spin for a while after its last run, release the cores.
        """
        return RunTimes(**self._ask(_line({"times": num_runs, "settle_ms": settle_ms})))

    def peak_bytes(self) -> int | None:
        """Return peak memory above that of the process before it opened the network; None if unknown."""
        return self._ask(_line({"memory": True}))

    def profile(self, num_runs: int) -> dict[str, float] | None:
        """Return milliseconds of a run by class of operator; None if the runtime has no profile."""
        return self._ask(_line({"profile": num_runs}))

    def _ask(self, question: bytes) -> Any:
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None
        assert answers is not None
        with suppress(BrokenPipeError):  # the process has ended, which the missing answer shows
            pipe.write(question)
            pipe.flush()
        line = answers.readline()
        if not line:
            raise ExportError(f"bench: {self._name} ended with status {self._process.wait()} before it had an answer")
        answer = json.loads(line)
        if "error" in answer:
            raise ExportError(f"bench: {self._name}: {answer['error']}")
        return answer["is"]

    def __enter__(self) -> Self:
        """Return the worker itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()


@contextmanager
def workers(tasks: Mapping[Key, Task]) -> Iterator[dict[Key, Worker]]:
    """Start a worker for each task and open its network; all start at once, because each takes a while.

    Raises:
        ExportError: See `Worker.open`.
    """
    with ExitStack() as stack:
        each = {key: stack.enter_context(Worker()) for key in tasks}
        for key, task in tasks.items():
            each[key].open(task)
        yield each


@dataclass(frozen=True)
class Turns(Generic[Key]):
    """Times of networks that took turns.

    Attributes:
        times_ms: Milliseconds of the timed runs of each round, by network.
        processor_time: Whether they are processor time, which other programs hardly lengthen; otherwise they are
            wall-clock time.
        waited: Share of the wall-clock time for which threads waited for a processor.
    """

    times_ms: dict[Key, list[list[float]]]
    processor_time: bool
    waited: float

    @property
    def note(self) -> str | None:
        """Sentence about other programs that lengthened the times; None if none did."""
        if self.processor_time or self.waited <= _MOST_WAITED:
            return None
        return (
            f"threads waited for a processor for {self.waited:.0%} of the timed runs, because other programs are at "
            "work: times are too long, and ratios may be wrong; time on a quiet machine, or on one thread, which is "
            "measured in processor time"
        )


def take_turns(processes: Mapping[Key, Worker], threads: int | None, rounds: int, runs: int) -> Turns[Key]:
    """Let workers run one after another in each round, and return their times.

    On one thread of its process a network takes as much processor time as wall-clock time on a machine that does
    nothing else, so that the first is taken. With more threads, or on a GPU, the two differ.

    Args:
        processes: The workers.
        threads: Number of threads of all; None if they differ, or are unknown.
        rounds: Number of rounds.
        runs: Timed runs of each worker in a round.
    """
    rows = [{key: each.times(runs) for key, each in processes.items()} for _ in range(rounds)]
    every = [each for row in rows for each in row.values()]
    processor_time = threads == 1 and all(each.processor_ms is not None for each in every)
    times = {key: [_chosen(row[key], processor_time) for row in rows] for key in processes}
    waited = sum(each.waited_ms for each in every) / sum(sum(each.wall_ms) for each in every)
    return Turns(times, processor_time, waited)


def _chosen(times: RunTimes, processor_time: bool) -> list[float]:
    return times.processor_ms if processor_time and times.processor_ms is not None else times.wall_ms


def flat(times_ms: Sequence[Sequence[float]]) -> list[float]:
    """Return the milliseconds of all runs of all rounds."""
    return [time for turn in times_ms for time in turn]


def _line(question: Mapping[str, Any]) -> bytes:
    return json.dumps(question).encode() + b"\n"
