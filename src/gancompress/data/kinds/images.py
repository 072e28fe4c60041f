"""Images of one folder, inputs only."""

from __future__ import annotations

from functools import partial

from gancompress.data.config import FileDataConfig, decode_roles, register_data
from gancompress.data.image_set import RecordSet
from gancompress.data.records import match


@register_data
class ImagesConfig(FileDataConfig):
    """Items with "input".

    Attributes:
        images: Folder of the images.
    """

    kind = "images"
    has_targets = False

    images: str = "{folder}"

    def open(self, split: str, augment: bool = False) -> RecordSet:
        """Open the data set of a split; raises as `DataConfig.open`."""
        records = match({"input": self._file_set(self.images, split)})
        decode = partial(decode_roles, decoders={"input": self._image("input", augment)})
        return self._record_set(self._split(split).choose(records), decode, split, augment)
