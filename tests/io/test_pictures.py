"""Pictures of every mode as what networks of every number of channels take, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gancompress.errors import ConfigError, DataError
from gancompress.io.pictures import MODES, array_to_channels, from_array, from_standard, to_channels, to_standard

COLOR = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
RGB = Image.fromarray(COLOR)
GREY = RGB.convert("L")
LEVELS = np.asarray(GREY)
ALPHA = np.where(np.arange(5) < 3, 255, 0).astype(np.uint8) + np.zeros_like(LEVELS)
GREY_AS_RGB = np.repeat(LEVELS[..., None], 3, 2)
ON_WHITE = np.where(ALPHA[..., None] > 0, COLOR, 255).astype(np.uint8)


def with_alpha(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    picture.putalpha(Image.fromarray(ALPHA))
    return picture


PICTURES = {
    "RGB": (RGB, COLOR),
    "RGBA": (with_alpha(RGB), ON_WHITE),
    "RGBX": (RGB.convert("RGBX"), COLOR),
    "CMYK": (RGB.convert("CMYK"), COLOR),
    "HSV": (RGB.convert("HSV"), np.asarray(RGB.convert("HSV").convert("RGB"))),
    "P": (RGB.quantize(8), np.asarray(RGB.quantize(8).convert("RGB"))),
    "L": (GREY, GREY_AS_RGB),
    "LA": (with_alpha(GREY), np.where(ALPHA[..., None] > 0, GREY_AS_RGB, 255)),
    "1": (GREY.convert("1"), np.asarray(GREY.convert("1").convert("RGB"))),
    "I": (Image.fromarray(LEVELS.astype(np.int32) * 257), GREY_AS_RGB),
    "I;16": (Image.fromarray(LEVELS.astype(np.uint16) * 257), GREY_AS_RGB),
    "I;16B": (Image.frombytes("I;16B", GREY.size, (LEVELS.astype(">u2") * 257).tobytes()), GREY_AS_RGB),
    "F": (Image.fromarray((LEVELS / 255).astype(np.float32)), GREY_AS_RGB),
}


@pytest.mark.parametrize("mode", PICTURES)
def test_every_mode_becomes_every_number_of_channels(mode):
    picture, rgb = PICTURES[mode]
    assert picture.mode == mode
    flat = np.asarray(Image.fromarray(rgb).convert("L"))
    opaque = picture.mode not in ("LA", "RGBA")
    for channels, expected in {1: flat, 3: rgb}.items():
        result = to_channels(picture, channels, "it")
        assert result.mode == MODES[channels]
        np.testing.assert_array_equal(np.asarray(result), expected)
    for channels in (2, 4):
        result = np.asarray(to_channels(picture, channels, "it"))
        np.testing.assert_array_equal(result[..., -1], np.full_like(ALPHA, 255) if opaque else ALPHA)
        if opaque:
            np.testing.assert_array_equal(result[..., :-1].squeeze(), flat if channels == 2 else rgb)


@pytest.mark.parametrize("orientation", [3, 6])
def test_pictures_are_upright(orientation):
    turned, exif = RGB.copy(), Image.Exif()
    exif[0x0112] = orientation
    turned.getexif().update(exif)
    expected = np.rot90(COLOR, {3: 2, 6: -1}[orientation])
    np.testing.assert_array_equal(np.asarray(to_channels(turned, 3, "it")), expected)


@pytest.mark.parametrize("channels", MODES)
def test_pixels_of_arrays_follow_the_rules_of_images(channels):
    for pixels in (COLOR, np.asarray(with_alpha(RGB)), np.asarray(with_alpha(GREY)), LEVELS[..., None]):
        batch = array_to_channels(np.stack([pixels, pixels[::-1]]), channels, "it")
        expected = np.asarray(to_channels(from_array(pixels), channels, "it")).reshape(6, 5, channels)
        np.testing.assert_array_equal(batch, np.stack([expected, expected[::-1]]))
    for grey in (LEVELS, LEVELS.astype(np.uint16) * 257, LEVELS[..., None]):
        np.testing.assert_array_equal(array_to_channels(grey, 3, "it")[0], GREY_AS_RGB)
    np.testing.assert_array_equal(array_to_channels(LEVELS > 127, 1, "it")[0, ..., 0], (LEVELS > 127) * 255)


@pytest.mark.parametrize("channels", MODES)
def test_bytes_survive_the_way_to_the_network_and_back(channels):
    picture = to_channels(with_alpha(RGB), channels, "it")
    values = to_standard(picture)
    assert (values.dtype, values.shape) == (torch.float32, (channels, 6, 5))
    assert -1 <= values.min() < values.max() <= 1
    np.testing.assert_array_equal(np.asarray(from_array(from_standard(values))), np.asarray(picture))


def of_floats(*values: float) -> Image.Image:
    return Image.fromarray(np.array([values], np.float32))


@pytest.mark.parametrize(
    ("picture", "channels", "kind", "message"),
    [
        (of_floats(0, 255), 3, DataError, r"^it: got floats from 0 to 255, expected 0 \(black\) to 1 \(white\); scale"),
        (of_floats(-0.5, 0), 3, DataError, "got floats from -0.5 to 0, expected 0 "),
        (of_floats(float("nan"), 0), 1, DataError, "got floats from nan to nan, expected 0 "),
        (Image.fromarray(np.array([[-1, 70000]], np.int32)), 1, DataError, "got integers from -1 to 70000, expected 0"),
        (
            RGB,
            5,
            ConfigError,
            r"^it: got a picture for 5 channels, expected 1 \(grey\), .* or an array of as many channels$",
        ),
    ],
)
def test_pictures_that_are_refused(picture, channels, kind, message):
    with pytest.raises(kind, match=message):
        to_channels(picture, channels, "it")


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4, 3), np.int64), "got an array of int64, expected pixels of uint8 or uint16, channels last"),
        (np.zeros((4, 4, 5), np.uint8), r"got pixels of shape \[4, 4, 5\], expected \[h, w\], \[h, w, c\] or"),
        (np.zeros(4, np.uint8), r"got pixels of shape \[4\], expected \[h, w\]"),
    ],
)
def test_arrays_that_are_refused(pixels, message):
    with pytest.raises(DataError, match=message):
        array_to_channels(pixels, 3, "it")
