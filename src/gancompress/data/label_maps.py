"""Label maps: the class of every pixel, and optionally the object it belongs to."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from gancompress.data.decoding import Channel, Decoded, Decoding, opened
from gancompress.data.palette import Rgb, distinct_colour
from gancompress.data.storage import File
from gancompress.errors import DataError
from gancompress.options import Options

Colour = Annotated[tuple[Channel, Channel, Channel], Field(strict=False)]


class Classes(Options):
    """Classes of a label map: the meaning of its values.

    Attributes:
        num_classes: Number of classes, which are 0 to ``num_classes - 1``.
        ignore: Values in the files that mean "don't care". In an item they become ``num_classes``.
        palette: Colour of each class, RGB, for files that are colour images; the number of a class is its position
            in the list, which may go on to colours whose number is in ``ignore``. By default the pixel values of a
            file are the classes (a palette of its own is for display only).
        names: Name of each class, for display.
        colours: Colour of each class in pictures, RGB; by default those of the palette, or distinct ones.
    """

    num_classes: int = Field(ge=1)
    ignore: tuple[int, ...] = Field(default=(255,), strict=False)
    palette: tuple[Colour, ...] | None = Field(default=None, strict=False)
    names: tuple[str, ...] | None = Field(default=None, strict=False)
    colours: tuple[Colour, ...] | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _lists_fit(self) -> Self:
        if self.palette is not None and len(self.palette) < self.num_classes:
            raise ValueError(f"palette: got {len(self.palette)} colours, expected at least {self.num_classes}")
        for option, given in (("names", self.names), ("colours", self.colours)):
            if given is not None and len(given) != self.num_classes:
                raise ValueError(f"{option}: got {len(given)}, expected one for each of {self.num_classes} classes")
        return self

    @property
    def shown_colours(self) -> tuple[Rgb, ...]:
        """Colour of each class in pictures."""
        colours = self.colours or self.palette or tuple(map(distinct_colour, range(self.num_classes)))
        return colours[: self.num_classes]

    @property
    def shown_names(self) -> tuple[str, ...]:
        """Name of each class; its number if it has none."""
        return self.names or tuple(map(str, range(self.num_classes)))


def decode_label(file: File, classes: Classes, decoding: Decoding) -> Decoded:
    """Decode a label map; its pixels are 0 to ``num_classes``, which means "don't care".

    Raises:
        BrokenImage: The file cannot be decoded.
        DataError: A pixel is neither a class nor ignored, a colour is not in the palette, or a colour image
            has no palette.
    """
    where = file.where
    with opened(file, decoding) as image:
        if classes.palette is None:
            values = _single_channel(image, where)
        else:
            values = _classes_of_colours(np.asarray(image.convert("RGB")), classes.palette, where)
    ignored = np.isin(values, classes.ignore)
    unknown = np.unique(values[~ignored & (values >= classes.num_classes)])
    if unknown.size:
        raise DataError(
            f"{where}: got label {_some(unknown)}, expected 0 to {classes.num_classes - 1} or one of ignore "
            f"{list(classes.ignore)}; correct classes.num_classes or add the value to classes.ignore"
        )
    return _decoded(np.where(ignored, classes.num_classes, values))


def decode_instance(file: File, decoding: Decoding) -> Decoded:
    """Decode an instance map: pixels of one object share a number. A colour stands for its 24-bit number.

    Raises:
        BrokenImage: The file cannot be decoded.
    """
    with opened(file, decoding) as image:
        if image.mode in ("RGB", "RGBA"):
            return _decoded(_colour_numbers(np.asarray(image.convert("RGB"))))
        return _decoded(_single_channel(image, file.where))


def instance_edges(instance: Tensor) -> Tensor:
    """Mark the pixels on both sides of a border between objects.

    Args:
        instance: Numbers of objects, integers [..., h, w].

    Returns:
        Truth values [..., h, w].
    """
    edges = torch.zeros_like(instance, dtype=torch.bool)
    across = instance[..., :, 1:] != instance[..., :, :-1]
    down = instance[..., 1:, :] != instance[..., :-1, :]
    edges[..., :, 1:] |= across
    edges[..., :, :-1] |= across
    edges[..., 1:, :] |= down
    edges[..., :-1, :] |= down
    return edges


def _single_channel(image: Image.Image, where: str) -> NDArray[np.int32]:
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        raise DataError(
            f"{where}: got a colour image (mode {image.mode}), expected one channel whose values are the classes; "
            "give the colours of the classes as classes.palette"
        )
    return np.asarray(image).astype(np.int32)


def _classes_of_colours(pixels: NDArray[np.uint8], palette: tuple[Colour, ...], where: str) -> NDArray[np.int32]:
    known = _colour_numbers(np.array(palette, dtype=np.uint8))
    order = np.argsort(known, kind="stable").astype(np.int32)
    numbers = _colour_numbers(pixels)
    places = np.searchsorted(known, numbers, sorter=order).clip(max=len(known) - 1)
    classes = order[places]
    strange = numbers[known[classes] != numbers]
    if strange.size:
        colours = [f"({number >> 16}, {number >> 8 & 255}, {number & 255})" for number in np.unique(strange)[:3]]
        raise DataError(
            f"{where}: got {strange.size} pixels of colours that are not in the palette, such as {', '.join(colours)}, "
            f"expected one of {len(palette)} colours; add them to classes.palette"
        )
    return classes


def _colour_numbers(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    red, green, blue = np.moveaxis(pixels.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _decoded(values: NDArray[np.int32]) -> Decoded:
    image = Image.fromarray(values.astype(np.uint8 if values.max(initial=0) < 256 else np.int32))
    return Decoded(image, (image.height, image.width))


def _some(values: NDArray[np.int32]) -> str:
    return ", ".join(map(str, values[:3])) + (", ..." if values.size > 3 else "")
