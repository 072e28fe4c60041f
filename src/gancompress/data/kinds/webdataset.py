"""Tar shards, for data sets that outgrow one disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Literal, Self

from pydantic import Field, model_validator

from gancompress.data.config import FileDataConfig, decode_roles, register_data
from gancompress.data.decoding import Decoded
from gancompress.data.image_set import RecordSet
from gancompress.data.kinds.labels import discrete_decoders
from gancompress.data.label_maps import Classes
from gancompress.data.records import Record
from gancompress.data.shards import TarStorage, first_of, samples, shard_paths
from gancompress.data.storage import File, Storage
from gancompress.errors import DataError

Role = Literal["input", "target", "image", "label", "instance"]


@register_data
class WebDatasetConfig(FileDataConfig):
    """Items with the stated roles, from samples in shards: files of one key in one tar.

    The shards may be on several disks or network mounts. Every process reads from any of them, so that ranks and
    resuming work as with folders; an epoch reads few shards at a time.

    Attributes:
        shards: Patterns of paths, such as ``{folder}-{0000..0099}.tar`` or ``/disk2/*.tar``.
        roles: Extension of each role in a sample, such as ``input: jpg``; ``jpg;png`` takes the first that exists.
        classes: Meaning of the values of a label map; needed with the role ``label``.
        num_open_shards: Number of shards that are mixed at a time. More mix better, fewer need fewer jumps between
            files.
    """

    kind = "webdataset"

    shards: tuple[str, ...] = Field(strict=False, min_length=1)
    roles: dict[Role, str] = Field(min_length=1)
    classes: Classes | None = None
    num_open_shards: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _labels_have_classes(self) -> Self:
        if "label" in self.roles and self.classes is None:
            raise ValueError("classes: got none, expected the classes of the role 'label'")
        return self

    def open(self, split: str, augment: bool = False) -> RecordSet:
        """Open the data set of a split; raises as `DataConfig.open`."""
        paths = [path for pattern in self.shards for path in shard_paths(str(self._path(pattern, split)))]
        records = [record for path in paths for record in self._records(TarStorage(path))]
        chosen = self._split(split).choose(records)
        decoders: dict[str, Callable[[File], Decoded]] = {role: self._image(role, augment) for role in self.roles}
        if self.classes is not None:
            decoders |= discrete_decoders(self.classes, self.decoding)
        reader = self._reader(chosen, partial(decode_roles, decoders=decoders), split, augment)
        block_sizes = [len(list(block)) for _, block in groupby(chosen, key=_shard)]
        return RecordSet(reader, self.transform, augment, block_sizes, self.num_open_shards)

    def _records(self, storage: Storage) -> list[Record]:
        records = []
        for key, files in samples(storage).items():
            by_role: dict[str, File] = {}
            for role, extensions in self.roles.items():
                file = first_of(files, extensions.lower().split(";"))
                if file is None:
                    raise DataError(
                        f"{storage.where}: got sample '{key}' with {', '.join(files)}, expected {extensions} for "
                        f"the role '{role}'; correct roles or pack the shard again"
                    )
                by_role[role] = file
            records.append(Record(key, by_role))
        return records


def _shard(record: Record) -> str:
    return next(iter(record.files.values())).storage.where
