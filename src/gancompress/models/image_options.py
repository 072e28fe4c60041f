"""Options that declare the formats of a network's images."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from gancompress.errors import ConfigError
from gancompress.models.image_format import MEASURED, ColorOrder, ImageLayout, Images
from gancompress.options import Options


def _is_none(value: Any) -> bool:
    return value is None


class ImageOptions(Options):
    """Formats of a network's images, where they are not [-1, 1], RGB, NCHW. A family knows its own.

    Attributes:
        range: Darkest and lightest value, such as ``0..1``; ``0..255 to 0..1`` where input and output differ,
            ``unchanged to 0..1`` for an input that holds no images, and ``measured`` to find out on images of the data.
        color_order: Order of the colour channels.
        layout: Order of the axes.
    """

    # Left out of dumps where unset, so that runs from before these options existed keep their fingerprints.
    range: str | None = Field(default=None, exclude_if=_is_none)
    color_order: ColorOrder | None = Field(default=None, exclude_if=_is_none)
    layout: ImageLayout | None = Field(default=None, exclude_if=_is_none)

    @field_validator("range")
    @classmethod
    def _is_range(cls, text: str | None) -> str | None:
        if text not in (None, MEASURED):
            try:
                Images.parse(text)
            except ConfigError as error:  # as a ValueError it is reported with the path of the option
                raise ValueError(str(error).removeprefix("range: ")) from None
        return text

    @model_validator(mode="after")
    def _measured_alone(self) -> ImageOptions:
        if self.range == MEASURED and (self.color_order or self.layout):
            raise ValueError(f"range: got {MEASURED} with color_order or layout, expected a range such as 0..1")
        return self

    @property
    def images(self) -> Images | None:
        """The formats; None where nothing is declared, or they are to be measured."""
        if self.range == MEASURED or (self.range, self.color_order, self.layout) == (None, None, None):
            return None
        return Images.parse(self.range or "-1..1", self.color_order or "RGB", self.layout or "NCHW")
