"""Options that declare the formats of a network's images."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from gancompress.errors import ConfigError
from gancompress.networks.image_format import MEASURED, ColorOrder, ImageLayout, Images
from gancompress.options import Options


def _is_none(value: Any) -> bool:
    return value is None


class ImageOptions(Options):
    """Formats of a network's images, if they are not [-1, 1], RGB, NCHW. Families have their own.

    Attributes:
        range: Darkest and lightest value, such as ``0..1``; ``0..255 to 0..1`` if input and output differ,
            ``unchanged to 0..1`` for an input that is not an image, and ``measured`` to measure it on images of the
            data.
        color_order: Order of the colour channels.
        layout: Order of the axes.
    """

    # Excluded from dumps if unset, so that runs from before these options existed keep their fingerprints.
    range: str | None = Field(default=None, exclude_if=_is_none)
    color_order: ColorOrder | None = Field(default=None, exclude_if=_is_none)
    layout: ImageLayout | None = Field(default=None, exclude_if=_is_none)

    @field_validator("range")
    @classmethod
    def _is_range(cls, text: str | None) -> str | None:
        if text not in (None, MEASURED):
            try:
                Images.parse(text)
            except ConfigError as error:  # a ValueError is reported with the path of the option
                raise ValueError(str(error).removeprefix("range: ")) from None
        return text

    @model_validator(mode="after")
    def _measured_alone(self) -> ImageOptions:
        if self.range == MEASURED and (self.color_order or self.layout):
            raise ValueError(f"range: got {MEASURED} with color_order or layout, expected a range such as 0..1")
        return self

    @property
    def images(self) -> Images | None:
        """Declared formats; None if nothing is declared, or they are to be measured."""
        if self.range == MEASURED or (self.range, self.color_order, self.layout) == (None, None, None):
            return None
        return Images.parse(self.range or "-1..1", self.color_order or "RGB", self.layout or "NCHW")
