"""A command in several processes: they start together, agree on a recipe, end together, and fail with one line."""

from __future__ import annotations

import math
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import typer

from gancompress.errors import ConfigError, GanCompressError, TrainingError

T = TypeVar("T")

LAUNCHED = "GANCOMPRESS_LAUNCHED"
"""Environment variable of the processes that `ran_in_processes` started."""
LOST_ANOTHER = 75
"""Exit status of such a process that lost another one, about which the command that started them prints the line."""

_POLL_S = 0.1
_OWN_END_S, _ASKED_END_S, _STOPPED_END_S = 3.0, 15.0, 60.0
_INTERRUPTED = 130
_OF_A_LAUNCH = re.compile(r"(GROUP_|LOCAL_|ROLE_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|TORCHELASTIC_\w+")
"""Environment variables by which a launcher tells its processes their places."""


@dataclass(frozen=True)
class _Process:
    """One process; what all but the first print is kept in a file."""

    number: int
    running: subprocess.Popen[bytes]
    output: Path | None

    def printed(self) -> str:
        """Return what it printed."""
        return "" if self.output is None else self.output.read_text(errors="replace")


def ran_in_processes(count: int | None) -> bool:
    """Run this command line in several processes, which share the work as under ``torchrun``, if that is asked for.

    The first process prints. Signals are passed on to all. If one process fails, the others end within 20 seconds.

    Args:
        count: Number of processes; None or 1 for this process alone.

    Returns:
        Whether they ran. If not, this process does the work, alone or as one of several.

    Raises:
        ConfigError: Another launcher started this process.
        typer.Exit: The first process failed, and has said why.
        TrainingError: Another process failed or was killed.
    """
    if count is None or count == 1 or LAUNCHED in os.environ:
        return False
    if "WORLD_SIZE" in os.environ:
        raise ConfigError(
            f"--processes: got {count} under another launcher, which started {os.environ['WORLD_SIZE']}, expected one "
            "of the two; leave --processes out"
        )
    run_together([sys.executable, "-P", "-m", "gancompress", *sys.argv[1:]], count)
    return True


def made_once(make: Callable[[], T]) -> T:
    """Return what one process makes, in every process of a launch such as that of ``torchrun``.

    The first process has it made by another one outside of the launch, which can train by itself, while all wait.

    Args:
        make: Makes a value that can be pickled, as the function itself can.

    Raises:
        GanCompressError: What ``make`` raises, in every process.
        LostProcessError: Another process has ended.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return make()
    from accelerate import Accelerator
    from accelerate.utils import broadcast_object_list

    from gancompress.training.processes import naming_a_lost_process

    accelerator = Accelerator()
    outcome: list[Any] = [None, None]
    if accelerator.is_main_process:
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, spawning, initializer=_leave_launch) as alone:
            try:
                outcome[0] = alone.submit(make).result()
            except GanCompressError as error:
                outcome[1] = error
    with naming_a_lost_process(accelerator, lambda: "before the training"):
        made, error = broadcast_object_list(outcome)
    if error is not None:
        raise error
    return made


def _leave_launch() -> None:
    for name in [*filter(_OF_A_LAUNCH.fullmatch, os.environ)]:
        del os.environ[name]


def run_together(command: Sequence[str], count: int) -> None:
    """Start a command so many times, and wait for the end of all; raises as `ran_in_processes`."""
    with tempfile.TemporaryDirectory() as folder:
        processes: list[_Process] = []
        shared = {**os.environ, **_environment(count)}
        try:
            with _signals_passed_on(processes):
                for number in range(count):
                    environment = {**shared, "RANK": str(number), "LOCAL_RANK": str(number)}
                    processes.append(_started(command, number, environment, Path(folder)))
                first = _end_of(processes)
        finally:
            for process in processes:
                process.running.kill()
                process.running.wait()
        if first is not None:
            _report(first, processes)


def _started(command: Sequence[str], number: int, environment: Mapping[str, str], folder: Path) -> _Process:
    output = folder / str(number) if number else None
    with nullcontext() if output is None else output.open("wb") as to:
        running: subprocess.Popen[bytes] = subprocess.Popen(
            command, env=environment, process_group=0, stdin=subprocess.DEVNULL, stdout=to, stderr=to
        )
    return _Process(number, running, output)


def _environment(count: int) -> Mapping[str, str]:
    import torch

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    usual = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count))}
    if not torch.accelerator.is_available():
        usual["ACCELERATE_USE_CPU"] = "true"
    chosen = {name: value for name, value in usual.items() if name not in os.environ}
    size = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    return {**chosen, **size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), LAUNCHED: str(os.getpid())}


@contextmanager
def _signals_passed_on(processes: list[_Process]) -> Iterator[None]:
    """Pass Ctrl-C and SIGTERM on; the processes are not in the terminal's group, so each gets a signal once."""

    def pass_on(number: int, _: FrameType | None) -> None:
        for process in processes:
            process.running.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_of(processes: list[_Process]) -> _Process | None:
    """Wait for the end of all; return the first that failed. Others then end on their own, when asked, or by a kill."""
    _wait(lambda: _has_failed(processes) is not None or _have_ended(processes))
    failed = _has_failed(processes)
    if failed is None:
        return None
    is_stopped = failed.running.returncode == _INTERRUPTED
    if not _wait(lambda: _have_ended(processes), _STOPPED_END_S if is_stopped else _OWN_END_S):
        for process in processes:
            process.running.terminate()
        _wait(lambda: _have_ended(processes), _ASKED_END_S)
    return failed


def _wait(done: Callable[[], bool], seconds: float = math.inf) -> bool:
    began = time.monotonic()
    while not done() and time.monotonic() - began < seconds:
        time.sleep(_POLL_S)
    return done()


def _have_ended(processes: list[_Process]) -> bool:
    return all(process.running.poll() is not None for process in processes)


def _has_failed(processes: list[_Process]) -> _Process | None:
    return next((process for process in processes if process.running.poll()), None)


def _report(first: _Process, processes: list[_Process]) -> None:
    """Raise the error of a command of which one process failed first; traces of a bug are printed before."""
    if first.running.returncode == LOST_ANOTHER:  # the cause may end a moment later
        effects = (0, LOST_ANOTHER, -signal.SIGTERM)
        causes = (process for process in processes if process.running.returncode not in effects)
        first = next(causes, first)
    status, own = first.running.returncode, processes[0].running.returncode
    if own > 0 and own != LOST_ANOTHER and status > 0:
        raise typer.Exit(own)
    where = f"process {first.number} of {len(processes)}"
    if status < 0:
        name = signal.Signals(-status).name
        memory = ", perhaps because memory ran out" if -status == signal.SIGKILL else ""
        raise TrainingError(
            f"{where} was ended by {name}{memory}, expected all to run; the others were stopped, and the same command "
            "resumes from the last checkpoint"
        )
    if status == LOST_ANOTHER:
        raise TrainingError("the processes lost one another; the same command resumes from the last checkpoint")
    printed = first.printed()
    if status == 1:
        sys.stderr.write(printed)
    raise TrainingError(f"{where}: {(printed.strip().splitlines() or [''])[-1].removeprefix('gancompress: ')}")
