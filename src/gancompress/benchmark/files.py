"""Time exported files beside the network that they come from."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from gancompress.benchmark.contestants import Task, contestants
from gancompress.benchmark.runtimes import RUNTIMES
from gancompress.benchmark.statistics import ratio
from gancompress.export import ExportReport
from gancompress.export.axes import Inputs, at_batch
from gancompress.report import FileSpeed, Latency

_RUNTIME_OF_ENDING = {".onnx": "onnxruntime", ".xml": "openvino", ".pt2": "eager"}
_IN_WORDS = {
    "onnxruntime": "onnxruntime",
    "openvino": "OpenVINO",
    "openvino_bf16": "OpenVINO",
    "eager": "PyTorch, exported program",
}
_ORIGINAL = "original"


def time_files(
    original: Path,
    example: Tensor,
    files: Iterable[ExportReport],
    inputs: Inputs,
    *,
    rounds: int = 10,
    runs: int = 3,
    threads: int | None = None,
) -> dict[Path, FileSpeed]:
    """Time files beside the original network in PyTorch eager, float32, one image at once.

    All take turns, each in a process of its own, and have the same number of threads.

    Args:
        original: A saved generator.
        example: What it takes, [1, ...].
        files: What was exported; files that no installed runtime runs here are left out.
        inputs: What the files take.
        rounds: Turns of each.
        runs: Runs that are timed in a turn; at least two over all rounds.
        threads: Of each process; those of PyTorch here by default.

    Raises:
        ExportError: A runtime refuses a file.
    """
    threads = threads or torch.get_num_threads()
    runtimes = {file.path: runtime for file in files if (runtime := _runtime_of(file)) is not None}
    if not runtimes:
        return {}
    tasks: dict[Path | str, Task] = {_ORIGINAL: Task("eager", original, (example,), threads)}
    tasks |= {path: Task(runtime, path, at_batch(inputs, 1), threads) for path, runtime in runtimes.items()}
    with contestants(tasks) as processes:
        turns = [{key: each.times(runs) for key, each in processes.items()} for _ in range(rounds)]
    times = {key: [turn[key] for turn in turns] for key in tasks}
    latencies = {key: Latency.of([time for turn in own for time in turn]) for key, own in times.items()}
    return {
        path: FileSpeed(
            _IN_WORDS[runtime],
            threads,
            latencies[path],
            latencies[_ORIGINAL],
            *ratio(times[_ORIGINAL], times[path]),
        )
        for path, runtime in runtimes.items()
    }


def _runtime_of(file: ExportReport) -> str | None:
    """Return the runtime of a file, if it is installed."""
    runtime = "openvino_bf16" if file.precision == "bf16" else _RUNTIME_OF_ENDING.get(file.path.suffix)
    return runtime if runtime is not None and find_spec(RUNTIMES[runtime].package) else None
