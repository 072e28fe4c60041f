"""Data sets: items by number. A kind of data set is a list of records and a decoder for each role."""

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
"""What `gancompress.data` describes: tensors by role, "name" and "index"."""

Images = dict[str, Image.Image]
Decode = Callable[[Record], dict[str, Decoded]]
"""From a record to the images of its item, by role."""


@dataclass(frozen=True)
class Visit:
    """One item in one epoch of one run: all that an item and its augmentation depend on."""

    index: int
    epoch: int = 0
    seed: int = 0


class ImageSet(Dataset[Item], ABC):
    """Items by number. `gancompress.data` describes an item.

    Attributes:
        augment: Whether items are cropped, mirrored and mixed at random, as in training.
    """

    augment: bool

    @abstractmethod
    def __len__(self) -> int:
        """Number of items."""

    @abstractmethod
    def item(self, visit: Visit) -> Item:
        """The item of a visit: equal visits give equal items, in any process.

        Raises:
            BrokenImage: A file of the item cannot be decoded, and no more than ``max_broken`` could not so far.
            DataError: More than that could not, or the item does not fit.
        """

    def __getitem__(self, index: int) -> Item:
        """The item of epoch 0 and seed 0; raises as `item`, and IndexError beyond the last."""
        if not 0 <= index < len(self):
            raise IndexError(f"got item {index}, expected 0 to {len(self) - 1}")
        return self.item(Visit(index))

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """The numbers of the items in the order of an epoch."""
        return permutation(Purpose.ORDER, len(self), seed, epoch)

    def files(self) -> Iterator[File]:
        """Every file that the items are made of."""
        return iter(())

    def broken_names(self) -> list[str]:
        """The records that could not be decoded so far, in any worker."""
        return []


class FileOptions(Options):
    """How the files of any data set are read.

    Attributes:
        decoding: From files to RGB.
        transform: Load size, crop, flip.
        max_broken: How many broken images are skipped, for each folder; one more stops the job.
        cache: Where decoded images are kept: in memory by default. None decodes them each time.
    """

    decoding: Decoding = Field(default_factory=Decoding)
    transform: Transform
    max_broken: int = Field(default=0, ge=0)
    cache: Cache | None = Cache()


class RecordReader:
    """Reads records as images at their load size, through the cache, and keeps count of the broken ones.

    Args:
        records: The records.
        decode: How to decode one.
        options: How to read.
        augment: Whether the load size leaves a margin for the random crop.
        settings: All options that the images depend on, as text: the cache keeps other settings apart.
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
        self._broken = torch.zeros(len(self.records), dtype=torch.bool).share_memory_()

    def read(self, index: int) -> Images:
        """The images of a record at their load size.

        Raises:
            BrokenImage: A file cannot be decoded, and no more than ``max_broken`` could not so far.
            DataError: More than that could not, or the images of the record differ in size.
        """
        record = self.records[index]
        try:
            if self._cache is None:
                return self._load(record)
            arrays = self._cache.get(index, _content_key(record), partial(self._load_arrays, record))
            return {role: Image.fromarray(array) for role, array in arrays.items()}
        except BrokenImage as error:
            self._count(index, error)
            raise

    def broken_names(self) -> list[str]:
        """The records that could not be decoded so far, in any worker."""
        return [self.records[index].name for index in self._broken.nonzero().flatten().tolist()]

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

    def _count(self, index: int, error: BrokenImage) -> None:
        """Notes a broken record where all workers see it."""
        is_new = not self._broken[index]
        self._broken[index] = True
        names = self.broken_names()
        if len(names) > self._options.max_broken:
            others = f" (all: {', '.join(names)})" if len(names) > 1 else ""
            raise DataError(
                f"{error}; got {len(names)} broken{others}, expected at most {self._options.max_broken}; "
                "repair or remove the files, or raise max_broken"
            ) from error
        if is_new:
            logging.getLogger(__name__).warning("skipped: %s", error)


def _content_key(record: Record) -> str:
    """Changes when a file of the record does."""
    return "|".join(f"{role}:{file.where}:{file.storage.fingerprint(file.name)}" for role, file in record.files.items())


def seen(images: Images, transform: Transform, draw: np.random.Generator | None, where: str) -> dict[str, Tensor]:
    """One view of loaded images, the same for all of them, as the tensors of an item.

    Raises:
        DataError: The images are smaller than the crop.
    """
    image = next(iter(images.values()))
    view = choose_view((image.height, image.width), transform, draw, where)
    return {role: to_tensor(take_view(image, view), role in DISCRETE_ROLES) for role, image in images.items()}


class RecordSet(ImageSet):
    """One item for each record.

    Args:
        reader: Reads the records.
        transform: Load size, crop, flip.
        augment: As in training.
        block_sizes: Where records lie in blocks that are slow to jump between (shards): the number of records
            in each, in their order.
        num_open_blocks: How many blocks are mixed at a time.
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
        """Number of records."""
        return len(self._reader.records)

    def item(self, visit: Visit) -> Item:
        """The item of a visit; raises as `ImageSet.item`."""
        images = self._reader.read(visit.index)
        draw = generator(Purpose.VIEW, visit.seed, visit.epoch, visit.index) if self.augment else None
        name = self._reader.records[visit.index].name
        return {**seen(images, self._transform, draw, where=name), "name": name, "index": visit.index}

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """The numbers of the items in the order of an epoch."""
        if self._block_sizes:
            return block_permutation(self._block_sizes, self._num_open_blocks, seed, epoch)
        return super().order(seed, epoch)

    def files(self) -> Iterator[File]:
        """Every file of every record."""
        return (file for record in self._reader.records for file in record.files.values())

    def broken_names(self) -> list[str]:
        """The records that could not be decoded so far, in any worker."""
        return self._reader.broken_names()
