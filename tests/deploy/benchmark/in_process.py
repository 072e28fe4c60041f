"""Workers of the benchmark as threads of this process: the same questions and answers without the start of PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from gancompress.deploy.benchmark import Worker
from gancompress.deploy.benchmark.worker import answer


class WorkerThread:
    """Takes the place of a process that runs ``gancompress.deploy.benchmark.worker``."""

    def __init__(self, command: list[str], **_: Any) -> None:
        assert command[-1] == "gancompress.deploy.benchmark.worker"
        (questions, stdin), (stdout, answers) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")
        self._thread = Thread(target=self._run, args=(questions, answers), daemon=True)
        self._thread.start()

    def wait(self) -> int:
        self._thread.join()
        return 0

    @staticmethod
    def _run(questions: int, answers: int) -> None:
        with os.fdopen(questions, "rb") as given, os.fdopen(answers, "w") as said:
            answer(given, said)


@contextmanager
def workers_as_threads() -> Iterator[None]:
    """Start no processes for workers; for what is asked of them, not for how fast they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys.modules[Worker.__module__], "subprocess", SimpleNamespace(Popen=WorkerThread, PIPE=subprocess.PIPE)
        )
        yield
