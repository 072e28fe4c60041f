"""Data sets of tensors: items from the files of a folder, or from a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from gancompress.data.decoding import BrokenImage
from gancompress.data.image_set import BrokenRecords, ImageSet, Item, Visit
from gancompress.data.randomness import Purpose, generator
from gancompress.data.records import Record
from gancompress.data.storage import File
from gancompress.errors import DataError

RESERVED = ("name", "index")
"""Fields of an item that are no tensors."""

Read = Callable[[File, np.random.Generator | None], Mapping[str, Tensor]]
"""Reads the tensors of a file by name: a part at random places if it gets a generator, else the central one."""


class TensorFiles(ImageSet):
    """Data set with an item for each file.

    Args:
        records: The files, each a record with the role ``input``.
        read: Reads the tensors of a file. Raises DataError for a file that cannot be read.
        augment: Whether to read random parts, as in training.
        max_broken: Number of broken files to skip.
    """

    def __init__(self, records: Sequence[Record], read: Read, augment: bool, max_broken: int) -> None:
        self.augment = augment
        self._records, self._read = list(records), read
        self._broken = BrokenRecords(self._records, max_broken)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._records)

    def item(self, visit: Visit) -> Item:
        """Return the item of a visit; raises as `ImageSet.item`."""
        record = self._records[visit.index]
        draw = generator(Purpose.VIEW, visit.seed, visit.epoch, visit.index) if self.augment else None
        try:
            tensors = self._read(record.files["input"], draw)
        except DataError as error:
            broken = BrokenImage(str(error))
            self._broken.count(visit.index, broken)
            raise broken from error
        return named_item(tensors, record.name, visit.index)

    def files(self) -> Iterator[File]:
        """Yield every file."""
        return (file for record in self._records for file in record.files.values())

    def broken_names(self) -> list[str]:
        """Return the names of files that could not be read so far, in any worker."""
        return self._broken.names()


def by_name(given: Any) -> Any:
    """Return a tensor, or a tuple or list of one or two, as a dict with ``input`` and ``target``; else the value."""
    if isinstance(given, Tensor | np.ndarray):
        return {"input": given}
    if isinstance(given, Sequence) and not isinstance(given, str) and 1 <= len(given) <= 2:
        return dict(zip(("input", "target"), given, strict=False))
    return given


def named_item(tensors: Mapping[str, Tensor], name: str, index: int) -> Item:
    """Return an item with its name and number.

    Raises:
        DataError: A tensor has one of their names, or a value is not finite.
    """
    for key, tensor in tensors.items():
        if key in RESERVED:
            raise DataError(f"{name}: got a tensor '{key}', expected another name: items have that field; rename it")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DataError(f"{name}: got values in '{key}' that are NaN or infinite, expected finite ones; mend them")
    return {**tensors, "name": name, "index": index}
