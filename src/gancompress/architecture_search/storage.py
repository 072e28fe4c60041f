"""Storage of a search: a journal file, a database, or memory."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from pydantic import AfterValidator, PlainSerializer
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from gancompress.errors import ConfigError, TrainingError, naming

T = TypeVar("T")

_FIRST_BYTES = b'{"op_code"'
_WAIT_S = 0.5
_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Pauses between attempts to reach a database: it may be started again in the meantime."""
_PASSWORDS = ("password", "passwd", "sslpassword", "passfile")


def without_password(url: str) -> str:
    """Return the URL of a database without its password, as it is printed and written to files."""
    url = re.sub(r"(?<=://)([^:/@?]*):.*@", r"\1@", url)
    return re.sub(rf"(?i)(?<=[?&])({'|'.join(_PASSWORDS)})=[^&]*&?", "", url).rstrip("?&")


def _checked(url: str) -> str:
    """Return a URL of a database. Raises ValueError for anything else, without its password."""
    try:
        host = make_url(url).host or ""
    except (ArgumentError, ValueError):
        shown = without_password(url)
        raise ValueError(f"got '{shown}', expected the URL of a database, postgresql://user@host/name") from None
    if "@" in host:
        raise ValueError("got a URL with several @, expected one; write %40 for an @ of a name or password")
    return url


DatabaseUrl = Annotated[str, AfterValidator(_checked), PlainSerializer(without_password)]
"""URL of a database, as an option; its password is used, and left out wherever the option is written."""


@contextmanager
def opened(where: Path | str | None) -> Iterator[BaseStorage]:
    """Open a storage, and close it afterwards.

    Args:
        where: Path of a journal file, created if it does not exist; URL of a database; None for memory.

    Raises:
        ConfigError: The file is not a journal of a search, or the database cannot be reached.
        TrainingError: The database was lost, and did not come back.
    """
    if where is None:
        yield InMemoryStorage()
    elif "://" in str(where):
        storage = _database(str(where))
        try:
            yield storage
        except (SQLAlchemyError, StorageInternalError) as error:
            raise TrainingError(
                f"storage: lost {without_password(str(where))}: {_reason(error)}; finished candidates are in it: "
                "start it again and give the same command, which goes on"
            ) from error
        finally:
            storage.remove_session()
            storage.engine.dispose()
    else:
        yield JournalStorage(_Journal(Path(where)))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's messages about studies that it creates."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class _Journal(JournalFileBackend):
    """Journal that survives a full disk or a loss of power: an unfinished last record is cut off."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._guard = path, JournalFileOpenLock(str(path))
        if path.exists():
            self._cut_off_unfinished_record()
        super().__init__(str(path), self._guard)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            with naming(self._path):
                super().append_logs(logs)
        except OSError:
            self._cut_off_unfinished_record()
            raise

    def _cut_off_unfinished_record(self) -> None:
        self._guard.acquire()
        try:
            content = self._path.read_bytes()
            if content[: len(_FIRST_BYTES)] != _FIRST_BYTES[: len(content)]:
                raise ConfigError(f"storage: {self._path} is no journal of a search; give another file")
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                os.truncate(self._path, whole)
        finally:
            self._guard.release()


def patiently(call: Callable[[], T]) -> T:
    """Return what a call on a storage returns; repeat it while a database cannot be reached, for half a minute."""
    for pause in _PAUSES_S:
        try:
            return call()
        except StorageInternalError:
            time.sleep(pause)
    return call()


def _database(url: str, attempts: int = 3) -> RDBStorage:
    """Open a database, with retries: if processes create its tables at the same time, all but one fail at first."""
    try:
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    except (ImportError, ValueError, SQLAlchemyError, StorageInternalError) as error:
        if attempts > 1 and isinstance(error, SQLAlchemyError | StorageInternalError):
            time.sleep(_WAIT_S)
            return _database(url, attempts - 1)
        if isinstance(error, ImportError) and url.startswith("postgresql"):
            expected = "its driver; pip install 'gancompress[postgresql]'"
        else:
            expected = "a database that can be reached, with its password in the URL or in PGPASSWORD, or a file"
        raise ConfigError(
            f"storage: cannot open {without_password(url)}: {_reason(error)}; expected {expected}"
        ) from error


def _reason(error: BaseException) -> str:
    """Return the first line of what a database said, which Optuna keeps as the cause of its own error."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return str(cause).strip().splitlines()[0]
