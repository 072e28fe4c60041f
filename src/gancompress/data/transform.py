"""Load size, crop and flip. All images of a pair share one view; a view depends on (seed, epoch, index) alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
import torch
from PIL import Image
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from gancompress.errors import DataError
from gancompress.io.pictures import to_standard
from gancompress.options import Options

Size = tuple[int, int]
"""Height and width in pixels."""

Sides = Annotated[
    tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]],
    BeforeValidator(lambda value: (value, value) if isinstance(value, int) else value),
    Field(strict=False),
]
"""A size in options: one number for a square, or [height, width]."""

DISCRETE_ROLES = frozenset({"label", "instance"})
"""Roles whose pixels are numbers of classes or objects, which are never interpolated."""


class Transform(Options):
    """Transform of images of any size to the size that a network is trained on.

    Attributes:
        resize: Meaning of the load size. ``exact``: height and width, whatever the aspect; ``shorter``: the
            shorter side, keeping the aspect; ``width``: the width, keeping the aspect; ``none``: unchanged.
        load_size: One number, or [height, width]; for ``shorter`` and ``width`` one number.
        crop_size: Size of the crop: one number, or [height, width]. A random place in training, the centre
            otherwise. None keeps everything.
        flip: Mirror half of the images in training, left to right.
    """

    resize: Literal["exact", "shorter", "width", "none"] = "exact"
    load_size: Sides | None = None
    crop_size: Sides | None = None
    flip: bool = True

    @property
    def view_size(self) -> Size | None:
        """Height and width of every view; None if they depend on the image."""
        return self.crop_size or (self.load_size if self.resize == "exact" else None)

    @property
    def num_views(self) -> int | None:
        """Number of different views of an image in training; None if crops are random."""
        crops = self.crop_size is not None and (self.resize != "exact" or self.crop_size != self.load_size)
        return None if crops else 1 + self.flip

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        load, crop = self.load_size, self.crop_size
        if (self.resize == "none") != (load is None):
            expected = "none with resize 'none'" if load else f"one with resize '{self.resize}'"
            raise ValueError(f"load_size: got {_text(load)}, expected {expected}")
        if load and self.resize in ("shorter", "width") and load[0] != load[1]:
            raise ValueError(f"load_size: got {_text(load)}, expected one number with resize '{self.resize}'")
        axes = {"exact": (0, 1), "shorter": (0, 1), "width": (1,), "none": ()}[self.resize]
        if load and crop and self.resize != "shorter" and any(crop[axis] > load[axis] for axis in axes):
            raise ValueError(f"crop_size: got {_text(crop)}, expected at most the load_size {_text(load)}")
        return self


def _text(size: Size | None) -> str:
    return "none" if size is None else f"{size[0]}x{size[1]}"


def loaded_size(size: Size, transform: Transform, augment: bool) -> Size:
    """Return the size that an image is resized to before it is cropped.

    Without augmentation there is no margin for the random crop: the image is resized so that it just covers the
    crop, and evaluation sees as much of it as fits.

    Args:
        size: Height and width of the image, upright.
        transform: The options.
        augment: Whether this is for training.
    """
    if transform.load_size is None:
        return size
    target = transform.load_size if augment or transform.crop_size is None else transform.crop_size
    height, width = size
    if transform.resize == "exact":
        return target
    if transform.resize == "width":
        return max(1, round(height * target[1] / width)), target[1]
    if augment or transform.crop_size is None:
        scale = target[0] / min(size)
    else:
        scale = max(target[0] / height, target[1] / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize(image: Image.Image, size: Size, discrete: bool = False) -> Image.Image:
    """Resize bicubically with antialiasing; to the nearest pixel for discrete maps."""
    if (image.height, image.width) == size:
        return image
    return image.resize((size[1], size[0]), Image.Resampling.NEAREST if discrete else Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class View:
    """View of a loaded image: a box in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


def choose_view(size: Size, transform: Transform, draw: np.random.Generator | None, where: str) -> View:
    """Choose a random view, or the central one.

    Args:
        size: Height and width of the loaded image.
        transform: The options.
        draw: Random numbers; None takes the centre without mirroring.
        where: Name of the image in messages.

    Raises:
        DataError: The crop is larger than the image.
    """
    height, width = transform.crop_size or size
    margins = size[0] - height, size[1] - width
    if min(margins) < 0:
        raise DataError(
            f"{where}: got an image that loads as {_text(size)} (height x width), expected at least the crop size "
            f"{height}x{width}; reduce transform.crop_size, or raise transform.load_size"
        )
    if draw is None:
        return View(margins[0] // 2, margins[1] // 2, height, width, flip=False)
    top, left = (int(draw.integers(margin + 1)) for margin in margins)
    return View(top, left, height, width, flip=transform.flip and bool(draw.integers(2)))


def take_view(image: Image.Image, view: View) -> Image.Image:
    """Return the part of a loaded image that a view shows."""
    box = (view.left, view.top, view.left + view.width, view.top + view.height)
    if box != (0, 0, *image.size):
        image = image.crop(box)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.flip else image


def to_tensor(image: Image.Image, discrete: bool = False) -> Tensor:
    """Convert an image of 8 bits to float32 [c, h, w] in [-1, 1], or a discrete map to int64 [h, w]."""
    return torch.from_numpy(np.array(image, dtype=np.int64)) if discrete else to_standard(image)


def resize_factor(size: Size, transform: Transform, augment: bool) -> float:
    """Return the larger of the factors, of height and width, by which `loaded_size` resizes an image of this size."""
    height, width = loaded_size(size, transform, augment)
    return max(height / size[0], width / size[1])
