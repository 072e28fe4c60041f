"""Options common to all kinds of data sets, and the registry of kinds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny

from gancompress.data.decoding import Decoded, decode_image
from gancompress.data.image_set import Decode, FileOptions, ImageSet, RecordReader, RecordSet
from gancompress.data.records import FileSet, Record, Split, check_disjoint
from gancompress.data.storage import File, open_storage
from gancompress.data.transform import resize_factor
from gancompress.errors import ConfigError, nearest
from gancompress.registry import Kind, KindRegistry


class DataConfig(Kind):
    """Options of a data set. Subclasses are the kinds; each has a ``kind`` and is registered by `register_data`.

    Attributes:
        has_targets: Whether items have a target for the generator, or an image of its target domain.
    """

    has_targets: ClassVar[bool] = True

    @abstractmethod
    def split_names(self) -> list[str]:
        """Return the names of the splits that can be opened."""

    @abstractmethod
    def open(self, split: str, augment: bool = False) -> ImageSet:
        """Open the data set of a split.

        Args:
            split: A name in `split_names`.
            augment: Random crop, flip and partners, as in training; otherwise the same centre crop each time.

        Raises:
            ConfigError: There is no such split; the message ends with the nearest name.
            DataError: Files are missing or do not belong together.
        """

    def num_views(self) -> int | None:
        """Return the number of different views of an image under augmentation; None if it is unbounded or unknown."""
        return None

    def check_splits(self) -> None:
        """Check that no two splits share files.

        Raises:
            DataError: Two splits share a file, or one cannot be opened.
        """
        check_disjoint({name: self.open(name).files() for name in self.split_names()})

    def _known_split(self, split: str) -> str:
        if split not in self.split_names():
            raise ConfigError(f"split: got '{split}', expected a known one; {nearest(split, self.split_names())}")
        return split


DATASETS: KindRegistry[DataConfig] = KindRegistry("data", DataConfig, "a kind of data set")
"""Registry of the kinds of data sets, by name."""

register_data = DATASETS.add
"""Decorator that registers a subclass of `DataConfig` under its ``kind``."""

parse_data = DATASETS.parse
"""Parse a data set in a recipe: its ``kind``, and the options of that kind."""

AnyData = Annotated[SerializeAsAny[DataConfig], BeforeValidator(DATASETS.parse)]
"""Field type of a data set in options."""


def _default_splits() -> dict[str, Split]:
    return {
        "train": Split(folder="train", fraction=(0.0, 0.9)),
        "search": Split(folder="train", fraction=(0.9, 1.0)),
        "test": Split(folder="test"),
    }


class FileDataConfig(DataConfig, FileOptions):
    """Options of the kinds that read files. A path may lead into a zip as if it were a folder.

    Attributes:
        root: Folder that all other paths are relative to.
        splits: The splits by name; ``{folder}`` in a path stands for the folder of the split. By default a tenth
            of the folder ``train`` is held out for the search, so that nothing is selected on ``test``.
    """

    root: str = "."
    splits: dict[str, Split] = Field(default_factory=_default_splits, min_length=1)

    def split_names(self) -> list[str]:
        """Return the names of the splits that can be opened."""
        return list(self.splits)

    def num_views(self) -> int | None:
        """Return the number of views. See `DataConfig.num_views`."""
        return self.transform.num_views

    def _path(self, path: str, split: str) -> Path:
        return Path(self.root, path.replace("{folder}", self.splits[self._known_split(split)].folder))

    def _file_set(self, path: str, split: str, ending: str = "") -> FileSet:
        return FileSet(open_storage(self._path(path, split)), ending=ending)

    def _record_set(self, records: list[Record], decode: Decode, split: str, augment: bool) -> RecordSet:
        return RecordSet(self._reader(records, decode, split, augment), self.transform, augment)

    def _reader(self, records: list[Record], decode: Decode, split: str, augment: bool) -> RecordReader:
        settings = f"{self.model_dump_json(exclude={'cache', 'max_broken', 'splits'})} split={split}"
        return RecordReader(records, decode, self, augment, settings)

    def _image(self, role: str, augment: bool) -> Callable[[File], Decoded]:
        scale = partial(resize_factor, transform=self.transform, augment=augment)
        return partial(decode_image, decoding=self.decoding, scale=scale, role=role)


def decode_roles(record: Record, decoders: Mapping[str, Callable[[File], Decoded]]) -> dict[str, Decoded]:
    """Decode the file of each role with the decoder of that role."""
    return {role: decoders[role](file) for role, file in record.files.items()}
