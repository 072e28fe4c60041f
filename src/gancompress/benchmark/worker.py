"""``python -m gancompress.benchmark.worker TASK``: answers questions about one network, a line of JSON each."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import torch
from torch import Tensor

from gancompress.benchmark.operators import by_class
from gancompress.errors import GanCompressError
from gancompress.export.rewrites import rewritten
from gancompress.export.runtimes import onnx_runtime, openvino_runtime, torch_runtime
from gancompress.export.runtimes.packages import in_a_line
from gancompress.export.runtimes.runner import Runner
from gancompress.models.generator import Generator


def main() -> None:
    """Answer until there are no more questions."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a runtime prints is no answer
    before = _resident("VmRSS")
    task = json.loads(sys.argv[1])
    while True:
        try:
            runner, inputs = _ready(task)
        except Exception as error:
            known = isinstance(error, GanCompressError)
            _say(answers, {"error": str(error) if known else in_a_line(error)})
            return
        _say(answers, {"is": "ready"})
        following = _answer_questions(answers, task, runner, inputs, before)
        if following is None:
            return
        task = following


def _answer_questions(
    answers: IO[str], task: dict[str, Any], runner: Runner, inputs: tuple[Tensor, ...], before: int | None
) -> dict[str, Any] | None:
    """Answer about one network; returns the task to turn to, None where there are no more questions."""
    for line in sys.stdin:
        question = json.loads(line)
        if "task" in question:
            return question["task"]
        if "times" in question:
            _say(answers, {"is": _times(runner, inputs, question["times"])})
        elif "memory" in question:
            _say(answers, {"is": _memory(task["runtime"], before)})
        else:
            _say(answers, {"is": _profile(task, inputs, question["profile"])})
    return None


def _ready(task: dict[str, Any]) -> tuple[Runner, tuple[Tensor, ...]]:
    """A network that has run a few times, and what it ran on."""
    if task["threads"] is not None:
        torch.set_num_threads(task["threads"])
    inputs = (torch.arange(torch.Size(task["shape"]).numel(), dtype=torch.float32).sin().view(task["shape"]),)
    runner = _open(task)
    for _ in range(3):
        runner.run(inputs)
    return runner, inputs


def _open(task: dict[str, Any]) -> Runner:
    runtime, path = task["runtime"], Path(task["path"])
    if runtime == "onnxruntime":
        return onnx_runtime.open_file(path, task["threads"])
    if runtime in ("openvino", "openvino_bf16"):
        return openvino_runtime.open_file(path, task["threads"], "bf16" if runtime.endswith("bf16") else "fp32")
    if path.suffix == ".pt2":
        return torch_runtime.open_program(path)
    network = Generator.load(path).build()
    if runtime == "eager":
        return torch_runtime.eager(network)
    if runtime == "compiled":
        return torch_runtime.compiled(rewritten(network, ["folded_spectral_norms"])[0])
    return torch_runtime.cuda_graph(network) if runtime == "cuda_graph" else torch_runtime.eager(network, "cuda")


def _times(runner: Runner, inputs: tuple[Tensor, ...], num_runs: int) -> list[float]:
    runner.run(inputs)
    times = []
    for _ in range(num_runs):
        start = time.perf_counter()
        runner.run(inputs)
        times.append(1e3 * (time.perf_counter() - start))
    return times


def _memory(runtime: str, before: int | None) -> int | None:
    if runtime.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    peak = _resident("VmHWM")
    return None if peak is None or before is None else peak - before


def _resident(field: str) -> int | None:
    """Bytes of this process in memory, now (VmRSS) or at most (VmHWM); None where the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(rf"^{field}:\s+(\d+) kB$", status.read_text(), re.MULTILINE) if status.is_file() else None
    return 1024 * int(found[1]) if found else None


def _profile(task: dict[str, Any], inputs: tuple[Tensor, ...], num_runs: int) -> dict[str, float] | None:
    if task["runtime"] != "onnxruntime":
        return None
    with TemporaryDirectory() as folder:
        session = onnx_runtime.session(Path(task["path"]), task["threads"], Path(folder, "profile"))
        runner = onnx_runtime.runner(session)
        for _ in range(num_runs):
            runner.run(inputs)
        return by_class(json.loads(Path(session.end_profiling()).read_text()), num_runs)


def _say(answers: IO[str], answer: Any) -> None:
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
