"""Worker (``python -m gancompress.deploy.benchmark.worker``): answers questions about a network, one JSON line each."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from typing import IO, Any

import torch

from gancompress.deploy import find_mode
from gancompress.deploy.benchmark.workers import Task
from gancompress.deploy.runtimes.packages import in_a_line
from gancompress.deploy.runtimes.timed import Timed, resident_bytes
from gancompress.errors import GanCompressError


def main() -> None:
    """Answer the questions of the standard input."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of a runtime is no answer
    answer(sys.stdin.buffer, answers)


def answer(questions: IO[bytes], answers: IO[str]) -> None:
    """Answer questions until they end, or until one fails.

    Args:
        questions: Lines of JSON, those with a task followed by its inputs.
        answers: Stream that receives a line of JSON for each question.
    """
    with ExitStack() as stack:
        try:
            _answer_all(questions, answers, stack)
        except Exception as error:
            known = isinstance(error, GanCompressError)
            _say(answers, {"error": str(error) if known else in_a_line(error)})


def _answer_all(questions: IO[bytes], answers: IO[str], stack: ExitStack) -> None:
    before = resident_bytes("VmRSS")
    network: Timed | None = None
    for line in questions:
        question = json.loads(line)
        if "task" in question:
            stack.close()
            network = stack.enter_context(_opened(Task.received(question["task"], questions)))
            _say(answers, {"is": "ready"})
            continue
        assert network is not None
        if "times" in question:
            _say(answers, {"is": asdict(network.times(question["times"], question["settle_ms"]))})
        elif "memory" in question:
            _say(answers, {"is": network.peak_bytes(before)})
        else:
            _say(answers, {"is": network.profile(question["profile"])})


def _opened(task: Task) -> AbstractContextManager[Timed]:
    runtime, mode = find_mode(task.runtime)
    if task.threads is not None:
        torch.set_num_threads(task.threads)
    return runtime.timed(mode, task.path, task.inputs, task.threads)


def _say(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
