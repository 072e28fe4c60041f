"""Trials of a job that is killed or asked to stop at any moment, in processes that are forked before it computes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from gancompress.cli import main
from gancompress.jobs.pipeline import Pipeline
from tests.jobs.test_pipeline import NO_EXPORT, TINY, tiny

from .trial import FoundError, Trial

_MOST_SECONDS = 600.0
_INTERRUPTED = 130


def kill_trials(draw: Random, folder: Path) -> Iterator[tuple[str, Trial]]:
    """Yield runs that are killed, once or several times, and then resumed, compared with one that was not."""
    job = tiny(NO_EXPORT)

    def work(directory: Path) -> Callable[[], object]:
        return lambda: Pipeline(job, directory, lambda _: None).run()

    began = time.monotonic()
    _ended(_forked(work(folder / "straight"), folder / "printed"))
    seconds = time.monotonic() - began

    def trial(moments: list[float]) -> None:
        shutil.rmtree(folder / "run", ignore_errors=True)
        for moment in moments:
            process = _forked(work(folder / "run"), folder / "printed")
            time.sleep(moment * seconds)
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        if (status := _ended(_forked(work(folder / "run"), folder / "printed"))) != 0:
            printed = (folder / "printed").read_text()
            raise FoundError("NOT RESUMED", f"exit status {status}: {printed[-1500:]}")
        one, other = _results(folder / "straight"), _results(folder / "run")
        if one != other:
            raise FoundError("OTHER BITS", str(sorted(name for name in one if one[name] != other.get(name))))

    while True:
        moments = [draw.random() for _ in range(draw.choice((1, 1, 2, 3)))]
        yield f"killed after {moments} of {seconds:.1f} s", lambda moments=moments: trial(moments)


def signal_trials(draw: Random, folder: Path) -> Iterator[tuple[str, Trial]]:
    """Yield commands that get Ctrl-C or SIGTERM, with a file to export and to time at their end."""
    changes = [argument for change in TINY for argument in ("--set", change)]

    def work() -> None:
        sys.argv = ["gancompress", "compress", "quickstart-search", "--out", str(folder / "run"), *changes]
        main()

    began = time.monotonic()
    _ended(_forked(work, folder / "printed"))
    seconds = time.monotonic() - began

    def trial(number: int, moment: float) -> str:
        shutil.rmtree(folder / "run", ignore_errors=True)
        process = _forked(work, folder / "printed")
        time.sleep(moment * seconds)
        has_begun, asked = (folder / "run" / "job.yaml").exists(), time.monotonic()
        os.kill(process, number)
        status, took = _ended(process), time.monotonic() - asked
        printed = (folder / "printed").read_text()
        if status == _INTERRUPTED and "stopped; everything is saved" in printed:
            return "stopped"
        if status == 0 and took < 0.1 * seconds:
            return "had just ended"
        if not has_begun and status in (_INTERRUPTED, -number, 1):
            return "ended before it began"
        kind = "SWALLOWED" if status == 0 else "ANOTHER ENDING"
        raise FoundError(kind, f"status {status} after {took:.1f} s: {printed[-1500:]}")

    while True:
        number, moment = draw.choice((signal.SIGINT, signal.SIGTERM)), draw.random()
        what = f"{number.name} at {moment:.3f} of {seconds:.1f} s"
        yield what, lambda number=number, moment=moment: trial(number, moment)


def _forked(work: Callable[[], object], printed: Path) -> int:
    """Run a function in a child process whose output goes to a file; return its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        to = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(to, 1)
        os.dup2(to, 2)
        work()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else error.code is not None
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _ended(process: int) -> int:
    """Wait for a process; return its exit status, negative for a signal."""
    until = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < until:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise FoundError("HANGS", f"no end after {_MOST_SECONDS:.0f} s")


def _results(directory: Path) -> dict[str, bytes]:
    """Return weights and losses of a run, by path."""
    names = ("*.safetensors", "losses.jsonl")
    files = (path for name in names for path in directory.rglob(name) if "checkpoints" not in path.parts)
    return {str(path.relative_to(directory)): _without_times(path) for path in files}


def _without_times(path: Path) -> bytes:
    if path.suffix != ".jsonl":
        return path.read_bytes()
    return b"\n".join(line.split(b'"images_per_second"')[0] for line in path.read_bytes().splitlines())
