"""Pictures of any kind as images of 8 bits and as tensors, by one set of rules.

- The EXIF orientation is applied.
- A network of 1 or 2 channels sees luma (ITU-R BT.601), a network of 3 or 4 sees RGB; grey values are repeated.
- A network of 2 or 4 channels sees the alpha channel last, which is opaque in pictures without one. For other networks
  the picture is composited over a background, white by default.
- Grey values of 16 bits keep their upper 8.
- Floats in a file or an image lie between 0, black, and 1, white; others are refused.
- CMYK is converted without a colour profile. The first frame of an animation counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from gancompress.errors import ConfigError, DataError

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""The mode of an image by its number of channels."""


def mode_of(num_channels: int, where: str) -> str:
    """Return the mode of images of a number of channels.

    Args:
        num_channels: Number of channels that a network takes or returns.
        where: Beginning of the message.

    Raises:
        ConfigError: No picture has so many.
    """
    if num_channels not in MODES:
        raise ConfigError(
            f"{where}: got a picture for {num_channels} channels, expected 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 "
            "(RGBA); give a tensor, or an array of as many channels"
        )
    return MODES[num_channels]


def to_channels(picture: Image.Image, num_channels: int, where: str, background: Color = WHITE) -> Image.Image:
    """Convert a picture of any mode to 8 bits of each channel, upright.

    Args:
        picture: The picture.
        num_channels: Number of channels that the network takes: 1, 2, 3 or 4.
        where: The picture's name in messages.
        background: Colour behind transparent pixels, RGB, for networks of 1 or 3 channels.

    Raises:
        DataError: It holds values outside the range of its mode.
        ConfigError: No picture has so many channels.
    """
    mode = mode_of(num_channels, where)
    picture = _of_8_bits(ImageOps.exif_transpose(picture), where)
    if picture.mode == mode and "transparency" not in picture.info:
        return picture
    if picture.mode in ("La", "PA"):
        picture = picture.convert("LA" if picture.mode == "La" else "RGBA")
    if mode in ("LA", "RGBA"):
        return picture.convert("RGBA").convert(mode)
    if picture.has_transparency_data:
        canvas = Image.new("RGBA", picture.size, (*background, 255))
        picture = Image.alpha_composite(canvas, picture.convert("RGBA"))
    return picture.convert("RGB").convert(mode)


def array_to_channels(pixels: NDArray[Any], num_channels: int, where: str) -> NDArray[np.uint8]:
    """Convert pixels of any number of channels as `to_channels` does.

    Args:
        pixels: [h, w], [h, w, c] or [b, h, w, c] of 1 to 4 channels, or of as many as the network takes; of 8 or 16
            bits, or truth values.
        num_channels: Number of channels that the network takes.
        where: The picture's name in messages.

    Returns:
        Bytes [b, h, w, num_channels].

    Raises:
        DataError: It has another shape, or values of another type.
        ConfigError: The network takes more channels than a picture has, and others than these.
    """
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise DataError(
            f"{where}: got an array of {pixels.dtype}, expected pixels of uint8 or uint16, channels last, or floats in "
            "the range of the network"
        )
    batch = pixels[None, ..., None] if pixels.ndim == 2 else pixels[None] if pixels.ndim == 3 else pixels
    if batch.ndim == 4 and batch.shape[-1] == num_channels:
        return batch
    mode_of(num_channels, where)
    if batch.ndim != 4 or batch.shape[-1] not in MODES:
        raise DataError(
            f"{where}: got pixels of shape {list(pixels.shape)}, expected [h, w], [h, w, c] or [b, h, w, c] of 1 to 4 "
            "channels"
        )
    images = [to_channels(from_array(each), num_channels, where) for each in batch]
    return np.stack([np.asarray(each).reshape(*batch.shape[1:3], num_channels) for each in images])


def from_array(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return bytes [h, w, c] of 1 to 4 channels as an image of 8 bits."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def to_standard(pixels: NDArray[np.uint8] | Image.Image) -> Tensor:
    """Convert bytes [..., h, w, c], or an image of 8 bits, to float32 [..., c, h, w] in [-1, 1]."""
    values = torch.from_numpy(np.array(pixels))
    values = values[..., None] if values.dim() == 2 else values
    return values.movedim(-1, -3).contiguous().to(torch.float32).div_(127.5).sub_(1)


def from_standard(images: Tensor) -> NDArray[np.uint8]:
    """Convert floats [..., c, h, w] in [-1, 1] to bytes [..., h, w, c]; values beyond are black or white."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1).numpy()


def read_picture(path: Path) -> Image.Image:
    """Read the picture in a file.

    Raises:
        DataError: There is no such file, or it holds no picture.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected a picture") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise DataError(f"{path}: got no picture that can be read ({type(error).__name__}), expected one") from None


def _of_8_bits(picture: Image.Image, where: str) -> Image.Image:
    """Convert integers of 16 and 32 bits and floats to grey values of 8 bits."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture)
    name, limit = ("floats", 1) if picture.mode == "F" else ("integers", 65535)
    if not (values.min() >= 0 and values.max() <= limit):  # NaN is outside, too
        raise DataError(
            f"{where}: got {name} from {values.min():g} to {values.max():g}, expected 0 (black) to {limit} (white); "
            "scale them"
        )
    levels = np.rint(values * 255.0) if picture.mode == "F" else values >> 8
    return Image.fromarray(levels.astype(np.uint8))
