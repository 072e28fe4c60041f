"""The runtimes that networks are timed on, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import torch

from gancompress.errors import ExportError

RUNTIMES: Mapping[str, str | None] = {
    "eager": None,
    "compiled": None,
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "openvino_bf16": "openvino",
    "cuda": None,
    "cuda_graph": None,
}
"""Every runtime with the format of the file that it runs; PyTorch's own run the network itself."""


def available_runtimes() -> list[str]:
    """Those whose package or device is there; compiling takes up to minutes and is left to whoever asks for it."""
    here = {
        "eager": True,
        "compiled": False,
        "cuda": torch.cuda.is_available(),
        "cuda_graph": torch.cuda.is_available(),
    }
    packages = {"onnxruntime": "onnxruntime", "openvino": "openvino", "openvino_bf16": "openvino"}
    return [name for name in RUNTIMES if here.get(name) or (name in packages and find_spec(packages[name]))]


@dataclass(frozen=True)
class Task:
    """What a process times.

    Attributes:
        runtime: A name in `RUNTIMES`.
        path: A saved generator or a program (``.pt2``) for PyTorch's runtimes, else a file.
        shape: Of the input.
        threads: Threads to run on; the runtime's own choice where it is None.
    """

    runtime: str
    path: str
    shape: tuple[int, ...]
    threads: int | None


class Contestant:
    """A process that runs a network whenever it is asked to, and sleeps in between.

    Threads of one runtime, which spin for a while after each run, do not disturb the next runtime so, and memory is
    counted for each alone.
    """

    def __init__(self, task: Task) -> None:
        """Start it and open the network.

        Args:
            task: What it times.

        Raises:
            ExportError: The runtime is missing, or refuses the network.
        """
        self._name = f"{task.runtime} on {Path(task.path).name}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gancompress.benchmark.worker", json.dumps(asdict(task))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self._answer()
        except BaseException:
            self.__exit__()
            raise

    def turn_to(self, task: Task) -> None:
        """Put another network in the place of the one it has.

        Raises:
            ExportError: The runtime refuses it.
        """
        self._name = f"{task.runtime} on {Path(task.path).name}"
        self._ask({"task": asdict(task)})

    def times(self, num_runs: int) -> list[float]:
        """Milliseconds of runs behind one another, after one that is not counted."""
        return self._ask({"times": num_runs})

    def peak_bytes(self) -> int | None:
        """Memory at its highest, above that of the process before it opened the network; None where unknown."""
        return self._ask({"memory": True})

    def profile(self, num_runs: int) -> dict[str, float] | None:
        """Milliseconds of a run by kind of operator; None where the runtime does not tell."""
        return self._ask({"profile": num_runs})

    def _ask(self, question: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
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
                pipe.close()
        self._process.wait()
