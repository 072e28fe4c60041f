"""Cache of decoded and resized images: in memory, or in a folder that workers, epochs and runs share."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch.utils.data import get_worker_info

from gancompress.options import Options

Arrays = dict[str, NDArray[np.generic]]

_HEADER_BYTES = 512
"""Lower bound of the overhead of a file for each array."""


class Cache(Options):
    """Options of the cache of decoded images.

    Attributes:
        directory: A folder, created if it is missing, which can be deleted at any time. None keeps images in the memory
            of the process that decodes them.
        max_gib: Bound for each split of each data set, in GiB. In a folder it is exact if all images have one size, and
            met on average otherwise; in memory it is exact, and decoding workers share it. Images beyond it are decoded
            each time.
    """

    directory: str | None = None
    max_gib: float = Field(default=1, gt=0)

    def open(self, settings: str) -> ImageCache:
        """Return the cache of a data set.

        Args:
            settings: Everything that the content depends on, other than the key.
        """
        max_bytes = int(self.max_gib * 2**30)
        if self.directory is None:
            return MemoryCache(max_bytes)
        return FolderCache(Path(self.directory).expanduser() / _digest(settings), max_bytes)


class ImageCache(ABC):
    """Cache of arrays under keys."""

    @abstractmethod
    def get(self, index: int, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a key, made and stored if they are missing; they must not be changed.

        Args:
            index: Number of the item in its data set.
            key: Key that changes with the content.
            make: Function that makes the arrays.
        """


class MemoryCache(ImageCache):
    """Cache in the memory of this process, filled in the order of requests until the bound is reached.

    Args:
        max_bytes: Bound of this process; each of several decoding workers has an equal share of it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._held: dict[str, Arrays] = {}

    def get(self, index: int, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a key. See `ImageCache.get`."""
        if key in self._held:
            return self._held[key]
        arrays = make()
        worker = get_worker_info()
        num_bytes = sum(array.nbytes for array in arrays.values())
        if self._num_bytes + num_bytes <= self._max_bytes / (1 if worker is None else worker.num_workers):
            self._held[key] = arrays
            self._num_bytes += num_bytes
        return arrays


class FolderCache(ImageCache):
    """Cache of one file per key. Writers need no lock: files appear atomically, and equal keys mean equal content.

    Args:
        folder: Folder of the files; created if it is missing.
        max_bytes: Bound of all files. Item i is stored if i + 1 items of its size fit: the choice needs no coordination
            between processes, and does not change from epoch to epoch.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._trim()

    def get(self, index: int, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a key. See `ImageCache.get`."""
        path = self._folder / f"{_digest(key)}.npz"
        try:
            with path.open("rb") as file, np.load(file) as stored:
                return {role: stored[role] for role in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            arrays = make()
        num_bytes = sum(array.nbytes + _HEADER_BYTES for array in arrays.values())
        if (index + 1) * num_bytes <= self._max_bytes:
            self._write(path, arrays)
        return arrays

    def _write(self, path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with unfinished.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            logging.getLogger(__name__).warning("%s: not cached: %s", path, error)

    def _trim(self) -> None:
        """Remove the oldest files beyond the bound, such as those of images that have changed."""
        files = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        total = 0
        for path in files:
            total += path.stat().st_size
            if total > self._max_bytes:
                path.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
