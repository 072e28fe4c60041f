"""``python -m gancompress.benchmark.worker``: answers questions about one network, a line of JSON each."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager, ExitStack
from typing import IO, Any, Protocol

from gancompress.benchmark.contestants import Task
from gancompress.benchmark.in_process import InProcess, resident_bytes
from gancompress.errors import GanCompressError
from gancompress.export.runtimes.packages import in_a_line


class Subject(Protocol):
    """A network that is ready to run."""

    def times(self, num_runs: int, settle_ms: float) -> list[float]:
        """Milliseconds of runs behind one another, after some that are not counted: as `Contestant.times`."""
        ...

    def peak_bytes(self, before: int | None) -> int | None:
        """Memory at its highest, above what the process had before; None where unknown."""
        ...

    def profile(self, num_runs: int) -> dict[str, float] | None:
        """Milliseconds of a run by class of operator; None where the runtime does not tell."""
        ...


def main() -> None:
    """Answer until there are no more questions."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a runtime prints is no answer
    with ExitStack() as stack:
        try:
            _answer_all(sys.stdin.buffer, answers, stack)
        except Exception as error:
            known = isinstance(error, GanCompressError)
            _say(answers, {"error": str(error) if known else in_a_line(error)})


def _answer_all(questions: IO[bytes], answers: IO[str], stack: ExitStack) -> None:
    before = resident_bytes("VmRSS")
    subject: Subject | None = None
    for line in questions:
        question = json.loads(line)
        if "task" in question:
            stack.close()
            subject = stack.enter_context(_opened(Task.received(question["task"], questions)))
            _say(answers, {"is": "ready"})
            continue
        assert subject is not None
        if "times" in question:
            _say(answers, {"is": subject.times(question["times"], question["settle_ms"])})
        elif "memory" in question:
            _say(answers, {"is": subject.peak_bytes(before)})
        else:
            _say(answers, {"is": subject.profile(question["profile"])})


def _opened(task: Task) -> AbstractContextManager[Subject]:
    if task.runtime == "browser":
        from gancompress.benchmark.in_browser import InBrowser

        return InBrowser(task)
    return InProcess(task)


def _say(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
