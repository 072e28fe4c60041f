"""Locks of directories: one process at a time, and none for a process that has ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gancompress.errors import TrainingError
from gancompress.io.lock import LOCK_FILE, locked

HOLD = """
import sys
from pathlib import Path
from gancompress.io.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_process_is_told_who_holds_it_and_since_when(tmp_path: Path, holder):
    with pytest.raises(TrainingError, match=rf"process {holder.pid} on \S+ has worked on it since 20\d\d-.*; wait for"):
        locked(tmp_path).__enter__()
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        pass


def test_a_lock_says_who_it_is(tmp_path):
    (tmp_path / LOCK_FILE).write_bytes(b"\xff damaged")
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK_FILE).read_text()).keys() == {"process", "host", "since"}
