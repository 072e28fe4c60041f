"""Lock of a directory that one process at a time works on; it ends with its process, however that ends."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gancompress.errors import TrainingError
from gancompress.io.json_files import read_object

LOCK_FILE = ".lock"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock on a directory, which is created if it does not exist.

    It is a record lock of POSIX, which forked workers do not inherit. Systems without them lock nothing.

    Raises:
        TrainingError: Another process holds it; the message says which, and since when.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("a+") as file:
        if not _take(file):
            holder = read_object(directory / LOCK_FILE) or {}
            raise TrainingError(
                f"{directory}: process {holder.get('process', 'unknown')} on {holder.get('host', 'an unknown host')} "
                f"has worked on it since {holder.get('since', 'an unknown time')}, expected one process at a time; "
                "wait for it or stop it, or give another directory"
            )
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        file.truncate(0)
        file.write(json.dumps(holder))
        file.flush()
        yield


def _take(file: IO[str]) -> bool:
    """Lock a file for this process; return False if another one holds it."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Other errors than these are of file systems without locks.
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True
