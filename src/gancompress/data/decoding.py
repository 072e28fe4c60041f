"""Decoding of image files to pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from gancompress.data.storage import File
from gancompress.errors import DataError
from gancompress.options import Options

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
LOSSLESS_SUFFIXES = (".png", ".bmp")
"""A label map must be in one of these: a lossy format invents classes along every border."""

Channel = Annotated[int, Field(ge=0, le=255)]
_BYTES_PER_PIXEL = 16
"""Upper bound of the bytes that any image format needs for a pixel; a larger file is not the image it claims to be."""


class BrokenImage(DataError):
    """Error on an image that cannot be decoded. A data set skips up to ``max_broken`` of them."""


class Decoding(Options):
    """Options of the decoding of image files to RGB.

    Attributes:
        background: Colour behind transparent pixels, RGB, 0 to 255.
        max_megapixels: A larger image is refused before it is unpacked.
        fast_jpeg: Decode a JPEG at 1/2, 1/4 or 1/8 of its size if the load size is smaller still. Several
            times faster on large photos; it changes pixels, because part of the shrinking is then done by
            the JPEG transform instead of the bicubic filter.
    """

    background: tuple[Channel, Channel, Channel] = Field(default=(255, 255, 255), strict=False)
    max_megapixels: float = Field(default=80, gt=0, le=178)
    fast_jpeg: bool = False


class Decoded(NamedTuple):
    """Image, and the height and width in its file: more than its own after a fast decoding."""

    image: Image.Image
    size: tuple[int, int]


def decode_rgb(file: File, decoding: Decoding, scale: Callable[[tuple[int, int]], float] | None = None) -> Decoded:
    """Decode an image of any mode as 8-bit RGB, rotated by its EXIF orientation.

    Grey values of 16 bits keep their upper 8. CMYK is converted without a colour profile. Of an animation the
    first frame counts.

    Args:
        file: The file.
        decoding: Options of the decoding.
        scale: Function from height and width to the factor that the image will be resized by, for ``fast_jpeg``.

    Raises:
        BrokenImage: The file cannot be decoded.
        DataError: It has too many pixels.
    """
    with opened(file, decoding) as image:
        size = upright_size(image)
        if decoding.fast_jpeg and scale is not None:
            factor = min(1.0, scale(size))
            image.draft("RGB", (max(1, int(image.width * factor)), max(1, int(image.height * factor))))
        return Decoded(to_rgb(ImageOps.exif_transpose(image), decoding.background), size)


@contextmanager
def opened(file: File, decoding: Decoding) -> Iterator[Image.Image]:
    """Open an image with only its header read. Errors inside the context become one clear line.

    Raises:
        BrokenImage: The file cannot be decoded.
        DataError: It has too many pixels, or its content is too long for their number.
    """
    where = file.where
    try:
        limit = decoding.max_megapixels
        num_bytes = file.storage.num_bytes(file.name)
        if num_bytes > limit * 1e6 * _BYTES_PER_PIXEL + 1e6:
            raise _too_large(where, f"{num_bytes / 1e6:.0f} MB", limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(file.storage.read(file.name)))
        if image.width * image.height > limit * 1e6:
            raise _too_large(where, f"{image.width}x{image.height} pixels", limit)
        yield image
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(where, "more than 178 megapixels", decoding.max_megapixels) from None
    except UnidentifiedImageError as error:
        raise BrokenImage(f"{where}: broken image (of no known format)") from error
    except Exception as error:  # decoders of damaged files raise almost anything
        raise BrokenImage(f"{where}: broken image ({error or type(error).__name__})") from error


def _too_large(where: str, got: str, limit: float) -> DataError:
    return DataError(
        f"{where}: got {got}, expected at most {limit:g} megapixels; "
        "remove the file if it is a decompression bomb, otherwise raise decoding.max_megapixels"
    )


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return height and width after the EXIF orientation is applied."""
    turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
    return (image.width, image.height) if turned else (image.height, image.width)


def to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Convert any mode to RGB; transparent pixels show the background."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, (*background, 255))
        return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
