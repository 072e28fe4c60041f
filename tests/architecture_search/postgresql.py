"""A PostgreSQL server of one's own, in a temporary directory."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

PASSWORD = "se:c/r et"
"""Password of its user; it needs quoting in a URL."""

_OPTIONS = {"listen_addresses": "", "fsync": "off", "shared_buffers": "16MB", "max_connections": "300"}
_INITIAL = ("--auth=scram-sha-256", "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C")


def missing() -> str | None:
    """Why no server can be started here; None if one can."""
    if _binary("initdb") is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.getuid() == 0 and not _has_user("postgres"):
        return "PostgreSQL does not run as root, and there is no user postgres"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "the driver is not installed (pip install 'gancompress[postgresql]')"
    return None


@contextmanager
def server() -> Iterator[str]:
    """Start a server that listens on a socket in its directory, and yield the URL of its database."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # After the change of user the list of open files is hidden, and closing every possible one takes half a minute.
        as_user: dict[str, Any] = {"user": "postgres", "close_fds": False} if os.getuid() == 0 else {}
        (Path(folder) / "password").write_text(PASSWORD)
        if as_user:
            for path in (folder, Path(folder) / "password"):
                shutil.chown(path, "postgres")
        data = f"{folder}/data"
        subprocess.run(
            [str(_binary("initdb")), "-D", data, "-U", "me", "--pwfile", f"{folder}/password", *_INITIAL],
            check=True, capture_output=True, cwd=folder, **as_user,
        )  # fmt: skip
        options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(_binary("postgres")), "-D", data, "-k", folder, *options],
                stdout=log, stderr=log, cwd=folder, **as_user,
            )  # fmt: skip
        try:
            yield _url(folder, process)
        finally:
            process.terminate()
            process.wait(30)


def _url(folder: str, process: subprocess.Popen[bytes]) -> str:
    """Wait until the server answers; return the URL of its database."""
    import psycopg

    for _ in range(200):
        try:
            psycopg.connect(host=folder, user="me", password=PASSWORD, dbname="postgres").close()
        except psycopg.OperationalError:
            assert process.poll() is None, (Path(folder) / "log").read_text()
            time.sleep(0.05)
        else:
            return f"postgresql://me:{quote(PASSWORD, safe='')}@/postgres?host={folder}"
    raise TimeoutError((Path(folder) / "log").read_text())


def _binary(name: str) -> Path | None:
    """Return the path of a program; Debian keeps some of them out of the search path."""
    found = shutil.which(name)
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return Path(found) if found else versions[-1] if versions else None


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
