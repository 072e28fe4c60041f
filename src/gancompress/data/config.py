"""Options common to all kinds of data sets, and the registry of kinds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny

from gancompress.data.decoding import Decoded, decode_image
from gancompress.data.image_set import Decode, FileOptions, ImageSet, RecordReader, RecordSet
from gancompress.data.records import FileSet, Record, Split, check_disjoint, unsplit
from gancompress.data.storage import File, open_storage
from gancompress.data.transform import resize_factor
from gancompress.errors import ConfigError, DataError, nearest
from gancompress.options import OptionsError
from gancompress.registry import Kind, KindRegistry, import_object


class DataConfig(Kind):
    """Options of a data set. Subclasses are the kinds; each has a ``kind`` and is registered by `register_data`.

    Attributes:
        has_targets: Whether items have a target for the generator, or an image of its target domain.
        holds_images: Whether its inputs are images or label maps, in [-1, 1]; otherwise tensors of any kind.
    """

    has_targets: ClassVar[bool] = True
    holds_images: ClassVar[bool] = True

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


class DataRegistry(KindRegistry[DataConfig]):
    """Registry of the kinds of data sets; an import path of anything else is a caller's own data."""

    def parse(self, value: Any) -> DataConfig:
        """Return the options that a recipe or a caller wrote; raises as `KindRegistry.parse`."""
        given = dict(value) if isinstance(value, Mapping) else {"kind": value}
        kind = given.get("kind")
        if not isinstance(kind, str) or ":" not in kind:
            return super().parse(value)
        try:
            found = import_object(kind)
        except ConfigError as error:
            raise OptionsError([("kind" if isinstance(value, Mapping) else "", str(error))]) from error
        if isinstance(found, type) and issubclass(found, DataConfig):
            return super().parse(value)
        return super().parse({**given, "kind": "own", "source": kind})


DATASETS = DataRegistry("data", DataConfig, "a kind of data set")
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


class FolderDataConfig(DataConfig):
    """Options of the kinds that read files. A path may lead into a zip as if it were a folder.

    Attributes:
        root: Folder that all other paths are relative to.
        splits: The splits by name; ``{folder}`` in a path stands for the folder of the split. By default a tenth
            of the folder ``train`` is held out for the search, so that nothing is selected on ``test``. Without that
            folder, the files are divided by the hash of their names: eight tenths, a tenth and a tenth.
    """

    root: str = "."
    splits: dict[str, Split] = Field(default_factory=_default_splits, min_length=1)

    def split_names(self) -> list[str]:
        """Return the names of the splits that can be opened."""
        return list(self.splits)

    def _split(self, split: str) -> Split:
        """Return the part of the files that a split is."""
        self._known_split(split)
        return (unsplit() if self._lacks_folders() else self.splits)[split]

    def _lacks_folders(self) -> bool:
        """Return whether there is no folder ``train``, and the splits are the default ones."""
        if self.splits != _default_splits():
            return False
        paths = [path for path in self.model_dump().values() if isinstance(path, str) and "{folder}" in path]
        return bool(paths) and not any(_exists(Path(self.root, path.replace("{folder}", "train"))) for path in paths)

    def _path(self, path: str, split: str) -> Path:
        folder = self._split(split).folder
        if not folder:  # which must not leave a path that begins at the root of the file system
            path = path.replace("{folder}/", "")
        return Path(self.root, path.replace("{folder}", folder))

    def _file_set(self, path: str, split: str, ending: str = "") -> FileSet:
        return FileSet(open_storage(self._path(path, split)), ending=ending)


def _exists(path: Path) -> bool:
    try:
        open_storage(path)
    except DataError:
        return False
    return True


class FileDataConfig(FolderDataConfig, FileOptions):
    """Options of the kinds that read images."""

    def num_views(self) -> int | None:
        """Return the number of views. See `DataConfig.num_views`."""
        return self.transform.num_views

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
