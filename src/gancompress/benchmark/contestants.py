"""Processes that time a network each, and what they are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import torch
from safetensors.torch import load, save

from gancompress.errors import ExportError
from gancompress.export import find_mode
from gancompress.export.axes import Inputs
from gancompress.export.runtimes.registry import import_path

Key = TypeVar("Key", bound=Hashable)

SETTLE_MS = 100.0
"""onnxruntime's threads spin for about 40 ms, in which a network on two cores takes up to twice its time."""


@dataclass(frozen=True, eq=False)
class Task:
    """What a process times.

    Attributes:
        runtime: A name in `gancompress.export.known_modes`.
        path: A file, or a saved generator where the mode runs networks.
        inputs: What it runs on, in the network's order; a page has its own.
        threads: Threads to run on; the runtime's own choice where it is None.
    """

    runtime: str
    path: Path
    inputs: Inputs
    threads: int | None

    def sent(self) -> bytes:
        """A line of JSON, and the inputs behind it as safetensors."""
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
        """Read what was sent; a runtime that this process does not know yet is registered.

        Args:
            facts: The ``task`` of the line.
            stream: Where the inputs follow.
        """
        find_mode(facts["origin"])
        tensors = load(stream.read(facts["num_bytes"]))
        inputs = tuple(tensors[str(number)] for number in range(len(tensors)))
        return cls(facts["runtime"], Path(facts["path"]), inputs, facts["threads"])


class Contestant:
    """A process that runs a network whenever it is asked to, and sleeps in between.

    Runtimes do not share settings or a pool of threads so, and memory is counted for each alone.
    """

    def __init__(self) -> None:
        """Start it; it has no network yet."""
        command = [sys.executable, "-m", "gancompress.benchmark.worker"]
        found = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # where runtimes of users lie
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=found)

    def turn_to(self, task: Task) -> None:
        """Open a network, in the place of the one it has.

        Args:
            task: What it times from now on.

        Raises:
            ExportError: The runtime is missing, or refuses the network.
        """
        self._name = f"{task.runtime} on {task.path.name}"
        self._ask(task.sent())

    def times(self, num_runs: int, settle_ms: float = SETTLE_MS) -> list[float]:
        """Milliseconds of runs behind one another.

        Args:
            num_runs: How many.
            settle_ms: As long as this it runs before any run counts, at least once: meanwhile the threads of the
                process whose turn was before, which spin for a while after its last run, give the cores free.
        """
        return self._ask(_line({"times": num_runs, "settle_ms": settle_ms}))

    def peak_bytes(self) -> int | None:
        """Memory at its highest, above that of the process before it opened the network; None where unknown."""
        return self._ask(_line({"memory": True}))

    def profile(self, num_runs: int) -> dict[str, float] | None:
        """Milliseconds of a run by kind of operator; None where the runtime does not tell."""
        return self._ask(_line({"profile": num_runs}))

    def _ask(self, question: bytes) -> Any:
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None
        assert answers is not None
        with suppress(BrokenPipeError):  # it has ended, which the missing answer tells
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
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()


@contextmanager
def contestants(tasks: Mapping[Key, Task]) -> Iterator[dict[Key, Contestant]]:
    """A process for each task, its network open; all start at once, since each takes a while to.

    Raises:
        ExportError: As `Contestant.turn_to`.
    """
    with ExitStack() as stack:
        each = {key: stack.enter_context(Contestant()) for key in tasks}
        for key, task in tasks.items():
            each[key].turn_to(task)
        yield each


def _line(question: Mapping[str, Any]) -> bytes:
    return json.dumps(question).encode() + b"\n"
