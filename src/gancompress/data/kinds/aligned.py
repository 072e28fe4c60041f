"""Pairs side by side in one image."""

from __future__ import annotations

from functools import partial
from typing import Literal

from PIL import ImageOps

from gancompress.data.config import FileDataConfig, register_data
from gancompress.data.decoding import Decoded, Decoding, opened, upright_size
from gancompress.data.image_set import RecordSet
from gancompress.data.records import Record, match
from gancompress.errors import DataError
from gancompress.io.pictures import to_channels


@register_data
class AlignedConfig(FileDataConfig):
    """Items with "input" and "target", the halves A and B of one image.

    Attributes:
        images: Folder of the images, A on the left, B on the right, each half as wide as the image.
        direction: Direction of the translation; the first letter is the half that is the input.
    """

    kind = "aligned"

    images: str = "{folder}"
    direction: Literal["AtoB", "BtoA"] = "AtoB"

    def open(self, split: str, augment: bool = False) -> RecordSet:
        """Open the data set of a split; raises as `DataConfig.open`."""
        records = match({"pair": self._file_set(self.images, split)})
        roles = ("input", "target") if self.direction == "AtoB" else ("target", "input")
        decode = partial(_decode_halves, roles=roles, decoding=self.decoding)
        return self._record_set(self._split(split).choose(records), decode, split, augment)


def _decode_halves(record: Record, roles: tuple[str, str], decoding: Decoding) -> dict[str, Decoded]:
    """Decode both halves, cut before any resizing, so that neither bleeds into the other."""
    file = record.files["pair"]
    with opened(file, decoding) as image:
        height, width = upright_size(image)
        if width % 2:
            raise DataError(
                f"{file.where}: got a width of {width} px, expected an even one, two images of one size side by side; "
                "correct the file, or use another kind of data set"
            )
        upright, half = ImageOps.exif_transpose(image), width // 2
        boxes = (0, 0, half, height), (half, 0, width, height)
        return {
            role: Decoded(
                to_channels(upright.crop(box), decoding.channels_of(role), file.where, decoding.background),
                (height, half),
            )
            for role, box in zip(roles, boxes, strict=True)
        }
