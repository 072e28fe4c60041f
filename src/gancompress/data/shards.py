"""Tar shards in the WebDataset layout, with random access and without unpacking."""

from __future__ import annotations

import glob
import os
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gancompress.data.storage import File, Storage
from gancompress.errors import DataError


class _Place(NamedTuple):
    offset: int
    num_bytes: int


class TarStorage(Storage):
    """Uncompressed tar. Its headers are read once; a file then takes one seek and one read.

    Raises:
        DataError: The file is not an uncompressed tar, or is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path
        try:
            with tarfile.open(path, "r:") as tar:
                self._places = {
                    member.name: _Place(member.offset_data, member.size) for member in tar if member.isfile()
                }
        except (OSError, tarfile.TarError) as error:
            raise DataError(f"{path}: got {error}, expected an uncompressed tar; pack the shard again") from None
        self._time_ns = path.stat().st_mtime_ns

    def names(self) -> list[str]:
        """Return every file, in the order of the tar."""
        return list(self._places)

    def read(self, name: str) -> bytes:
        """Read the content of a file."""
        place = self._places[name]
        with self._path.open("rb") as file:
            file.seek(place.offset)
            return file.read(place.num_bytes)

    def num_bytes(self, name: str) -> int:
        """Return the size of the content."""
        return self._places[name].num_bytes

    def fingerprint(self, name: str) -> str:
        """Return place and size in the shard, and the time of the shard's last change."""
        return f"{self._places[name].offset}-{self._places[name].num_bytes}-{self._time_ns}"


def shard_paths(pattern: str) -> list[Path]:
    """Return the shards that a pattern names.

    Args:
        pattern: A path with ranges ``{0000..0099}`` and wildcards ``*``. Every number of a range must exist.

    Raises:
        DataError: A shard is missing, or none fits a wildcard.
    """
    paths: list[Path] = []
    for text in _ranges_expanded(os.path.expanduser(pattern)):
        found = sorted(glob.glob(text)) if glob.has_magic(text) else [text] * os.path.isfile(text)
        if not found:
            raise DataError(f"{pattern}: got no shard {text}, expected a tar; correct the pattern or fetch the shard")
        paths += map(Path, found)
    return paths


def _ranges_expanded(pattern: str) -> list[str]:
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if found is None:
        return [pattern]
    first, last = found.groups()
    before, after = pattern[: found.start()], pattern[found.end() :]
    numbers = range(int(first), int(last) + 1)
    return [text for n in numbers for text in _ranges_expanded(f"{before}{n:0{len(first)}d}{after}")]


def samples(storage: Storage) -> dict[str, dict[str, File]]:
    """Group the files of a shard by key and extension: ``0001.seg.png`` has the key "0001", extension "seg.png"."""
    found: dict[str, dict[str, File]] = {}
    for name in storage.names():
        folder, _, base = name.rpartition("/")
        key, _, extension = base.partition(".")
        found.setdefault(f"{folder}/{key}" if folder else key, {})[extension.lower()] = File(storage, name)
    return found


def first_of(files: dict[str, File], extensions: Iterable[str]) -> File | None:
    """Return the file with the first of these extensions that exists."""
    return next((files[extension] for extension in extensions if extension in files), None)
