"""Storage of files: a folder, or a zip."""

from __future__ import annotations

import os
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gancompress.errors import DataError, nearest


class Storage(ABC):
    """Named files, each read as a whole. Safe to pass to worker processes, forked or spawned.

    Attributes:
        where: Name of this place in messages.
    """

    where: str

    @abstractmethod
    def names(self) -> list[str]:
        """Return every file, relative, with forward slashes, in natural order. Hidden files are skipped."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read the content of a file."""

    def path(self, name: str) -> Path:
        """Return the path of a file, for programs that read a part of it.

        Raises:
            DataError: The storage is no folder.
        """
        raise DataError(f"{self.where}: got files inside a zip, expected a folder: parts of them are read; unpack it")

    @abstractmethod
    def num_bytes(self, name: str) -> int:
        """Return the size of the content."""

    @abstractmethod
    def fingerprint(self, name: str) -> str:
        """Return a text that changes when the content does."""


class File(NamedTuple):
    """File in its storage."""

    storage: Storage
    name: str

    @property
    def where(self) -> str:
        """Name of the file in messages."""
        return f"{self.storage.where}/{self.name}"


class FolderStorage(Storage):
    """Storage of a folder and its subfolders."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path

    def names(self) -> list[str]:
        """Return every file, in natural order."""
        found = []
        for folder, subfolders, files in os.walk(self._path, followlinks=True):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            inner = Path(folder).relative_to(self._path)
            found += [(inner / name).as_posix() for name in files]
        return _listed(found)

    def read(self, name: str) -> bytes:
        """Read the content of a file."""
        return (self._path / name).read_bytes()

    def path(self, name: str) -> Path:
        """Return the path of a file."""
        return self._path / name

    def num_bytes(self, name: str) -> int:
        """Return the size of the file."""
        return (self._path / name).stat().st_size

    def fingerprint(self, name: str) -> str:
        """Return size and time of the last change."""
        status = (self._path / name).stat()
        return f"{status.st_size}-{status.st_mtime_ns}"


class ZipStorage(Storage):
    """Storage of a zip, or of a folder inside it.

    Args:
        path: The zip.
        prefix: The folder inside it, "" for the whole zip.

    Raises:
        DataError: The file is not a zip.
    """

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.where = str(path / prefix)
        self._path = path
        self._prefix = f"{prefix}/" if prefix else ""
        self._handles: dict[int, zipfile.ZipFile] = {}
        try:
            self._handle()
        except zipfile.BadZipFile as error:
            raise DataError(f"{path}: got a file that is no zip ({error}), expected a folder or a zip") from None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without open files, because another process opens its own."""
        return {**self.__dict__, "_handles": {}}

    def _handle(self) -> zipfile.ZipFile:
        """Return this process's own handle, because a forked process would share a file position with its parent."""
        process = os.getpid()
        if process not in self._handles:
            self._handles[process] = zipfile.ZipFile(self._path)
        return self._handles[process]

    def names(self) -> list[str]:
        """Return every file, in natural order."""
        inside = (info.filename for info in self._handle().infolist() if not info.is_dir())
        return _listed(name.removeprefix(self._prefix) for name in inside if name.startswith(self._prefix))

    def read(self, name: str) -> bytes:
        """Read the content of a file."""
        return self._handle().read(self._prefix + name)

    def num_bytes(self, name: str) -> int:
        """Return the unpacked size; no more than this is ever unpacked."""
        return self._handle().getinfo(self._prefix + name).file_size

    def fingerprint(self, name: str) -> str:
        """Return size and checksum."""
        info = self._handle().getinfo(self._prefix + name)
        return f"{info.file_size}-{info.CRC:08x}"


def open_storage(path: Path) -> Storage:
    """Return the storage at a path.

    Args:
        path: A folder, a zip, or a folder inside a zip written as if the zip were a folder
            (``faces.zip/train``).

    Raises:
        DataError: There is nothing at the path; the message ends with the nearest name.
    """
    path = path.expanduser()
    if path.is_dir():
        return FolderStorage(path)
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if existing.is_file():
        return _open_zip(existing, path.relative_to(existing))
    siblings = [entry.name for entry in existing.iterdir() if entry.is_dir() or entry.suffix == ".zip"]
    missing = path.relative_to(existing).parts[0]
    hint = nearest(missing, siblings) if siblings else "there are no folders in it"
    raise DataError(f"{path}: got no such folder or zip, expected '{missing}' in {existing}; {hint}")


def _open_zip(path: Path, inside: Path) -> ZipStorage:
    prefix = "" if inside == Path() else inside.as_posix()
    storage = ZipStorage(path, prefix)
    if prefix and not storage.names():
        folders = {Path(name).parent.as_posix() for name in ZipStorage(path).names()} - {"."}
        hint = nearest(prefix, folders) if folders else "there are no folders in it"
        raise DataError(f"{path}: got no files under '{prefix}', expected a folder of the zip; {hint}")
    return storage


def _listed(names: Iterable[str]) -> list[str]:
    shown = (name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")))
    return sorted(shown, key=natural_key)


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sorting key that puts "img2" before "img10"."""
    parts = re.split(r"([0-9]+)", name)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name
