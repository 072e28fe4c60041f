"""A network that this process runs itself."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import torch

from gancompress.benchmark.contestants import Task
from gancompress.benchmark.operators import by_class
from gancompress.export.rewrites import rewritten
from gancompress.export.runtimes import onnx_runtime, openvino_runtime, torch_runtime
from gancompress.export.runtimes.runner import Runner
from gancompress.models.generator import Generator

_WARM_UP_RUNS = 3


class InProcess:
    """A network on a runtime of this process."""

    def __init__(self, task: Task) -> None:
        """Open it, and run it a few times.

        Raises:
            ExportError: The runtime is missing, or refuses the network.
        """
        if task.threads is not None:
            torch.set_num_threads(task.threads)
        self._task, self._runner = task, _open(task)
        for _ in range(_WARM_UP_RUNS):
            self._runner.run(task.inputs)

    def times(self, num_runs: int, settle_ms: float) -> list[float]:
        """Milliseconds of runs behind one another, after some that are not counted: as `Contestant.times`."""
        passed = self._run_ms()
        while passed < settle_ms:
            passed += self._run_ms()
        return [self._run_ms() for _ in range(num_runs)]

    def _run_ms(self) -> float:
        start = time.perf_counter()
        self._runner.run(self._task.inputs)
        return 1e3 * (time.perf_counter() - start)

    def peak_bytes(self, before: int | None) -> int | None:
        """Memory at its highest: of the GPU, or of the process above what it had before; None where unknown."""
        if self._task.runtime.startswith("cuda"):
            return torch.cuda.max_memory_allocated()
        peak = resident_bytes("VmHWM")
        return None if peak is None or before is None else peak - before

    def profile(self, num_runs: int) -> dict[str, float] | None:
        """Milliseconds of a run by class of operator; None where the runtime does not tell."""
        if self._task.runtime != "onnxruntime":
            return None
        with TemporaryDirectory() as folder:
            session = onnx_runtime.session(self._task.path, self._task.threads, Path(folder, "profile"))
            runner = onnx_runtime.runner(session)
            for _ in range(num_runs):
                runner.run(self._task.inputs)
            return by_class(json.loads(Path(session.end_profiling()).read_text()), num_runs)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing: the network goes with the process, or when nothing refers to it any more."""


def resident_bytes(field: str) -> int | None:
    """Bytes of this process in memory, now (VmRSS) or at most (VmHWM); None where the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(rf"^{field}:\s+(\d+) kB$", status.read_text(), re.MULTILINE) if status.is_file() else None
    return 1024 * int(found[1]) if found else None


def _open(task: Task) -> Runner:
    runtime, path = task.runtime, task.path
    if runtime == "onnxruntime":
        return onnx_runtime.open_file(path, task.threads)
    if runtime in ("openvino", "openvino_bf16"):
        return openvino_runtime.open_file(path, task.threads, "bf16" if runtime.endswith("bf16") else "fp32")
    if path.suffix == ".pt2":
        return torch_runtime.open_program(path)
    network = Generator.load(path).build()
    if runtime == "eager":
        return torch_runtime.eager(network)
    if runtime == "compiled":
        return torch_runtime.compiled(rewritten(network, ["folded_spectral_norms"])[0])
    return torch_runtime.cuda_graph(network) if runtime == "cuda_graph" else torch_runtime.eager(network, "cuda")
