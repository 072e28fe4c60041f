"""Decoding of image files to pixels, by the rules of `gancompress.io.pictures`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple

from PIL import Image, UnidentifiedImageError
from pydantic import Field

from gancompress.data.storage import File
from gancompress.errors import DataError
from gancompress.io.pictures import MODES, WHITE, to_channels
from gancompress.options import Options

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
LOSSLESS_SUFFIXES = (".png", ".bmp")
"""A label map must be in one of these: a lossy format invents classes along every border."""

Channel = Annotated[int, Field(ge=0, le=255)]
NumChannels = Annotated[int, Field(ge=1, le=max(MODES))]
_BYTES_PER_PIXEL = 16
"""Upper bound of the bytes that any image format needs for a pixel; a larger file is not the image it claims to be."""


class BrokenImage(DataError):
    """Error on an image that cannot be decoded. A data set skips up to ``max_broken`` of them."""


class Decoding(Options):
    """Options of the decoding of image files.

    Attributes:
        channels: Number of channels of images: 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA); or that of some
            roles by their names, such as ``{input: 3, target: 1}``, and RGB for others.
        background: Colour behind transparent pixels of images without alpha, RGB, 0 to 255.
        max_megapixels: A larger image is refused before it is unpacked.
        fast_jpeg: Decode a JPEG at 1/2, 1/4 or 1/8 of its size if the load size is smaller still. Several
            times faster on large photos; it changes pixels, because part of the shrinking is then done by
            the JPEG transform instead of the bicubic filter.
    """

    channels: NumChannels | dict[str, NumChannels] = 3
    background: tuple[Channel, Channel, Channel] = Field(default=WHITE, strict=False)
    max_megapixels: float = Field(default=80, gt=0, le=178)
    fast_jpeg: bool = False

    def channels_of(self, role: str) -> int:
        """Return the number of channels of the images of a role."""
        return self.channels.get(role, 3) if isinstance(self.channels, dict) else self.channels


class Decoded(NamedTuple):
    """Image, and the height and width in its file: more than its own after a fast decoding."""

    image: Image.Image
    size: tuple[int, int]


def decode_image(
    file: File,
    decoding: Decoding,
    scale: Callable[[tuple[int, int]], float] | None = None,
    role: str = "input",
) -> Decoded:
    """Decode an image of any mode, upright, 8 bits of each channel.

    Args:
        file: The file.
        decoding: Options of the decoding.
        scale: Function from height and width to the factor that the image will be resized by, for ``fast_jpeg``.
        role: Role of the image, for its channels.

    Raises:
        BrokenImage: The file cannot be decoded.
        DataError: It has too many pixels, or values outside the range of its mode.
    """
    with opened(file, decoding) as image:
        size = upright_size(image)
        if decoding.fast_jpeg and scale is not None:
            factor = min(1.0, scale(size))
            image.draft("RGB", (max(1, int(image.width * factor)), max(1, int(image.height * factor))))
        return Decoded(to_channels(image, decoding.channels_of(role), file.where, decoding.background), size)


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
