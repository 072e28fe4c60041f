"""Storage of a search: a journal file, a database, or memory."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.exc import SQLAlchemyError

from gancompress.errors import ConfigError, naming

_FIRST_BYTES = b'{"op_code"'
_WAIT_S = 0.5


@contextmanager
def opened(where: Path | str | None) -> Iterator[BaseStorage]:
    """Open a storage, and close it afterwards.

    Args:
        where: Path of a journal file, created if it does not exist; URL of a database; None for memory.

    Raises:
        ConfigError: The file is not a journal of a search, or the database cannot be reached.
    """
    if where is None:
        yield InMemoryStorage()
    elif "://" in str(where):
        storage = _database(str(where))
        try:
            yield storage
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


def _database(url: str, attempts: int = 3) -> RDBStorage:
    """Open a database, with retries: if processes create its tables at the same time, all but one fail at first."""
    try:
        return RDBStorage(url)
    except (ImportError, ValueError, SQLAlchemyError, StorageInternalError) as error:
        if attempts > 1 and isinstance(error, SQLAlchemyError | StorageInternalError):
            time.sleep(_WAIT_S)
            return _database(url, attempts - 1)
        shown = re.sub(r"://([^:/@]*):[^@]*@", r"://\1:***@", url)
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"storage: cannot open {shown}: {reason}; give a reachable database or a file") from error
