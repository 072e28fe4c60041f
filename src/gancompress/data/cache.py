"""A cache of decoded and resized images that all workers, epochs and runs share."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gancompress.options import Options

Arrays = dict[str, NDArray[np.generic]]

_HEADER_BYTES = 512
"""At least what a file spends on each array besides its content."""


class Cache(Options):
    """Where decoded images are kept, and how many of them.

    Attributes:
        directory: A folder, made when it is missing. It can be deleted at any time. ``/dev/shm/...`` keeps
            the images in memory.
        max_gib: Bound for each split of each data set, in GiB: kept where all images have one size, met on
            average otherwise. What does not fit is decoded each time.
    """

    directory: str
    max_gib: float = Field(default=4, gt=0)


class ImageCache:
    """Arrays under keys, one file each. Writers need no lock: a file appears whole, and equal keys mean equal content.

    Args:
        cache: The options.
        settings: What the content depends on besides the key; other settings have another folder.
    """

    def __init__(self, cache: Cache, settings: str) -> None:
        self._max_bytes = int(cache.max_gib * 2**30)
        self._folder = Path(cache.directory).expanduser() / _digest(settings)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._trim()

    def get(self, index: int, key: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays of a key, made and kept when they are missing.

        Args:
            index: Number of the item in its data set. Item i is kept where i + 1 items of its size fit: which
                ones are kept needs no agreement between processes, and does not change from epoch to epoch.
            key: Changes with the content.
            make: Makes the arrays.
        """
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
        """Removes the oldest files beyond the bound: left-overs of images that have changed."""
        files = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        total = 0
        for path in files:
            total += path.stat().st_size
            if total > self._max_bytes:
                path.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
