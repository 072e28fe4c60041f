"""Several processes of one command: signals reach all, and a failure is one line."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from signal import SIGTERM

import pytest
import typer

from gancompress.cli import processes
from gancompress.cli.processes import LOST_ANOTHER, made_once, ran_in_processes, run_together
from gancompress.errors import ConfigError, TrainingError

FIRST = "import os, signal, sys, time; rank = int(os.environ['RANK'])\n"
WAITING = "time.sleep(60)"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def start(one: str, other: str, count: int = 2) -> None:
    """Run code in the first process, and other code in the last."""
    code = f"{FIRST}exec({one!r} if rank == 0 else {other!r} if rank == {count - 1} else 'pass')"
    run_together([sys.executable, "-S", "-c", code], count)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("_POLL_S", "_OWN_END_S", "_ASKED_END_S"):
        monkeypatch.setattr(processes, name, 0.02)


def test_all_know_their_place(capfd):
    shown = "print(*(os.environ[name] for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR')))"
    start(shown, f"{shown}; assert rank == 2", count=3)
    assert capfd.readouterr().out == "0 0 3 127.0.0.1\n"


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (WAITING, "os.kill(os.getpid(), 9)", "^process 1 of 2 was ended by SIGKILL, perhaps because memory ran out, "),
        (STUBBORN, "os.kill(os.getpid(), 11)", "ended by SIGSEGV, expected all to run; the others were stopped, and"),
        (f"sys.exit({LOST_ANOTHER})", f"sys.exit({LOST_ANOTHER})", "^the processes lost one another; the same command"),
        (WAITING, "sys.exit('gancompress: no room')", "^process 1 of 2: no room$"),
    ],
)
def test_a_failure_is_one_line(one, other, message, capfd):
    with pytest.raises(TrainingError, match=message):
        start(one, other)
    assert "Traceback" not in capfd.readouterr().err


def test_the_cause_is_named_even_if_it_ends_later(monkeypatch):
    monkeypatch.setattr(processes, "_OWN_END_S", 60.0)
    with pytest.raises(TrainingError, match=r"^process 1 of 2 was ended by SIGKILL"):
        start(f"sys.exit({LOST_ANOTHER})", "time.sleep(0.1); os.kill(os.getpid(), 9)")


def test_what_the_first_process_says_is_said_once(capfd, monkeypatch):
    monkeypatch.setattr(processes, "_OWN_END_S", 60.0)
    with pytest.raises(typer.Exit) as caught:
        start("sys.exit('no such file')", "time.sleep(0.01); sys.exit('no such file')")
    assert caught.value.exit_code == 1
    assert capfd.readouterr().err == "no such file\n"


def test_a_trace_of_another_process_is_shown(capfd):
    with pytest.raises(TrainingError, match="process 1 of 2: ZeroDivisionError: division by zero"):
        start(WAITING, "1 / 0")
    assert "Traceback" in capfd.readouterr().err


def test_a_signal_reaches_all_and_they_end_in_their_own_time(tmp_path):
    told = (
        f"signal.signal(15, lambda *_: (open(r'{tmp_path}/' + str(rank), 'w'), time.sleep(0.2 + rank), sys.exit(130)))"
    )
    code = f"{told}; open(r'{tmp_path}/ready' + str(rank), 'w'); time.sleep(60)"

    def send() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), SIGTERM)

    threading.Thread(target=send).start()
    with pytest.raises(typer.Exit) as caught:
        start(code, code)
    assert caught.value.exit_code == 130
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "ready0", "ready1"}


def test_under_another_launcher(monkeypatch):
    assert not ran_in_processes(None)
    assert not ran_in_processes(1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="--processes: got 2 under another launcher, which started 4, expected one"):
        ran_in_processes(2)
    monkeypatch.setenv(processes.LAUNCHED, "1")
    assert not ran_in_processes(2)


AGREE = """
import os, sys
from functools import partial
from pathlib import Path
from gancompress.cli.processes import made_once
from gancompress.deploy import find_format
from gancompress.errors import ConfigError
made = made_once(os.getpid), made_once(partial(os.getenv, "WORLD_SIZE", "alone"))
try:
    made_once(partial(find_format, "nonsense"))
except ConfigError as error:
    Path(sys.argv[1], os.environ["RANK"]).write_text(f"{os.getpid()} {made} {error}")
"""


def test_one_process_outside_of_the_launch_works_for_all(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    run_together([sys.executable, "-c", AGREE, str(tmp_path)], 2)
    (own, *first), (other, *second) = ((tmp_path / rank).read_text().split(" ", 1) for rank in "01")
    assert first == second
    assert re.match(r"\(\d+, 'alone'\) .*'nonsense'", first[0])
    assert not {own, other} & set(re.findall(r"\d+", first[0]))
    assert made_once(os.getpid) == os.getpid()
