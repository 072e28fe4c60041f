"""Data sets: items by number, from a list of records and a decoder for each role."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from gancompress.data.cache import Cache
from gancompress.data.decoding import BrokenImage, Decoded, Decoding
from gancompress.data.randomness import Purpose, block_permutation, generator, permutation
from gancompress.data.records import Record
from gancompress.data.storage import File
from gancompress.data.transform import (
    DISCRETE_ROLES,
    Transform,
    choose_view,
    loaded_size,
    resize,
    take_view,
    to_tensor,
)
from gancompress.errors import DataError
from gancompress.options import Options

Item = dict[str, Any]
"""Item as `gancompress.data` describes it: tensors by role, "name" and "index"."""

Images = dict[str, Image.Image]
Decode = Callable[[Record], dict[str, Decoded]]
"""Function from a record to the images of its item, by role."""


@dataclass(frozen=True)
class Visit:
    """Item number, epoch and seed: the only inputs of an item and its augmentation."""

    index: int
    epoch: int = 0
    seed: int = 0


class ImageSet(Dataset[Item], ABC):
    """Data set of items by number. `gancompress.data` describes an item.

    Attributes:
        augment: Whether items are cropped, mirrored and mixed at random, as in training.
    """

    augment: bool

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of items."""

    @abstractmethod
    def item(self, visit: Visit) -> Item:
        """Return the item of a visit: equal visits give equal items, in any process.

        Raises:
            BrokenImage: A file of the item cannot be decoded, and at most ``max_broken`` records are broken so far.
            DataError: More than ``max_broken`` records are broken, or the item does not fit.
        """

    def __getitem__(self, index: int) -> Item:
        """Return the item of epoch 0 and seed 0; raises as `item`, and IndexError beyond the last."""
        if not 0 <= index < len(self):
            raise IndexError(f"got item {index}, expected 0 to {len(self) - 1}")
        return self.item(Visit(index))

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return the numbers of the items in the order of an epoch."""
        return permutation(Purpose.ORDER, len(self), seed, epoch)

    def files(self) -> Iterator[File]:
        """Yield every file of the items."""
        return iter(())

    def broken_names(self) -> list[str]:
        """Return the names of records that could not be decoded so far, in any worker."""
        return []


class FileOptions(Options):
    """Options for reading the files of any data set.

    Attributes:
        decoding: Decoding of files to RGB.
        transform: Load size, crop, flip.
        max_broken: Number of broken images to skip, for each folder; one more stops the job.
        cache: Cache of decoded images: in memory by default. None decodes them each time.
    """

    decoding: Decoding = Field(default_factory=Decoding)
    transform: Transform
    max_broken: int = Field(default=0, ge=0)
    cache: Cache | None = Cache()


class BrokenRecords:
    """Count of the records that cannot be decoded, in memory that all workers share.

    Args:
        records: All records.
        max_broken: Number of broken ones to skip.
    """

    def __init__(self, records: Sequence[Record], max_broken: int) -> None:
        self._records, self._max_broken = records, max_broken
        self._broken = torch.zeros(len(records), dtype=torch.bool).share_memory_()

    def names(self) -> list[str]:
        """Return the names of records that could not be decoded so far, in any worker."""
        return [self._records[index].name for index in self._broken.nonzero().flatten().tolist()]

    def count(self, index: int, error: BrokenImage) -> None:
        """Count a record as broken. Raises DataError above ``max_broken``."""
        is_new = not self._broken[index]
        self._broken[index] = True
        names = self.names()
        if len(names) > self._max_broken:
            others = f" (all: {', '.join(names)})" if len(names) > 1 else ""
            raise DataError(
                f"{error}; got {len(names)} broken{others}, expected at most {self._max_broken}; "
                "repair or remove the files, or raise max_broken"
            ) from error
        if is_new:
            logging.getLogger(__name__).warning("skipped: %s", error)


class RecordReader:
    """Reader of records as images at their load size, through the cache; counts broken records.

    Args:
        records: The records.
        decode: Decoder of a record.
        options: Options for reading.
        augment: Whether the load size leaves a margin for the random crop.
        settings: All options that the images depend on, as text, which keeps their caches apart.
    """

    def __init__(
        self,
        records: Sequence[Record],
        decode: Decode,
        options: FileOptions,
        augment: bool,
        settings: str,
    ) -> None:
        self.records = list(records)
        self._decode = decode
        self._options = options
        self._augment = augment
        self._cache = None if options.cache is None else options.cache.open(f"{settings} augment={augment}")
        self._broken = BrokenRecords(self.records, options.max_broken)

    def read(self, index: int) -> Images:
        """Return the images of a record at their load size.

        Raises:
            BrokenImage: A file cannot be decoded, and at most ``max_broken`` records are broken so far.
            DataError: More than ``max_broken`` records are broken, or the images of the record differ in size.
        """
        record = self.records[index]
        try:
            if self._cache is None:
                return self._load(record)
            arrays = self._cache.get(index, _content_key(record), partial(self._load_arrays, record))
            return {role: Image.fromarray(array) for role, array in arrays.items()}
        except BrokenImage as error:
            self._broken.count(index, error)
            raise

    def broken_names(self) -> list[str]:
        """Return the names of records that could not be decoded so far, in any worker."""
        return self._broken.names()

    def _load(self, record: Record) -> Images:
        decoded = self._decode(record)
        sizes = {image.size for image in decoded.values()}
        if len(sizes) > 1:
            got = " and ".join(
                f"{file.where} of {decoded[role].size[0]}x{decoded[role].size[1]}"
                for role, file in record.files.items()
            )
            raise DataError(
                f"got {got} (height x width), expected images of one size; correct the pairing or resize one"
            )
        size = loaded_size(sizes.pop(), self._options.transform, self._augment)
        return {role: resize(image, size, role in DISCRETE_ROLES) for role, (image, _) in decoded.items()}

    def _load_arrays(self, record: Record) -> dict[str, NDArray[np.generic]]:
        return {role: np.asarray(image) for role, image in self._load(record).items()}


def _content_key(record: Record) -> str:
    """Return a key that changes when a file of the record does."""
    return "|".join(f"{role}:{file.where}:{file.storage.fingerprint(file.name)}" for role, file in record.files.items())


def seen(images: Images, transform: Transform, draw: np.random.Generator | None, where: str) -> dict[str, Tensor]:
    """Return one view of loaded images, the same for all of them, as the tensors of an item.

    Raises:
        DataError: The images are smaller than the crop.
    """
    image = next(iter(images.values()))
    view = choose_view((image.height, image.width), transform, draw, where)
    return {role: to_tensor(take_view(image, view), role in DISCRETE_ROLES) for role, image in images.items()}


class RecordSet(ImageSet):
    """Data set with one item for each record.

    Args:
        reader: Reader of the records.
        transform: Load size, crop, flip.
        augment: Whether to augment, as in training.
        block_sizes: Number of records in each block, in their order, for records in blocks that are slow to jump
            between (shards).
        num_open_blocks: Number of blocks that are mixed at a time.
    """

    def __init__(
        self,
        reader: RecordReader,
        transform: Transform,
        augment: bool,
        block_sizes: Sequence[int] = (),
        num_open_blocks: int = 1,
    ) -> None:
        self.augment = augment
        self._reader = reader
        self._transform = transform
        self._block_sizes = tuple(block_sizes)
        self._num_open_blocks = num_open_blocks

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._reader.records)

    def item(self, visit: Visit) -> Item:
        """Return the item of a visit; raises as `ImageSet.item`."""
        images = self._reader.read(visit.index)
        draw = generator(Purpose.VIEW, visit.seed, visit.epoch, visit.index) if self.augment else None
        name = self._reader.records[visit.index].name
        return {**seen(images, self._transform, draw, where=name), "name": name, "index": visit.index}

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return the numbers of the items in the order of an epoch."""
        if self._block_sizes:
            return block_permutation(self._block_sizes, self._num_open_blocks, seed, epoch)
        return super().order(seed, epoch)

    def files(self) -> Iterator[File]:
        """Yield every file of every record."""
        return (file for record in self._reader.records for file in record.files.values())

    def broken_names(self) -> list[str]:
        """Return the names of records that could not be decoded so far, in any worker."""
        return self._reader.broken_names()
