from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gancompress.data.decoding import BrokenImage, Decoding, decode_image, upright_size
from gancompress.data.storage import File, FolderStorage
from gancompress.errors import DataError
from tests.data.pictures import pixels, save


def decode(path: Path, **options: object) -> NDArray[np.uint8]:
    file = File(FolderStorage(path.parent), path.name)
    return np.asarray(decode_image(file, Decoding(**options)).image)


RGB = pixels(0)
GREY = RGB[..., 0]
GREY_AS_RGB = np.repeat(GREY[..., None], 3, axis=2)
WIDE = GREY.astype(np.uint16) * 256 + 77
ALPHA = np.where(np.arange(16) < 8, 255, 0).astype(np.uint8)
RGBA = np.dstack([RGB, np.broadcast_to(ALPHA, GREY.shape)])
ON_RED = np.where(RGBA[..., 3:] == 255, RGB, np.array([200, 10, 20], np.uint8))
PALETTE = Image.fromarray(RGB).quantize(16)
BINARY = Image.fromarray(GREY).convert("1", dither=Image.Dither.NONE)
TRANSPARENT_INDEX = Image.fromarray(np.array([[0, 1]], np.uint8))
TRANSPARENT_INDEX.putpalette([1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("name", "image", "options", "expected"),
    [
        ("rgb.png", RGB, {}, RGB),
        ("rgb.bmp", RGB, {}, RGB),
        ("rgb.webp", RGB, {"lossless": True}, RGB),
        ("grey.png", GREY, {}, GREY_AS_RGB),
        ("grey_16_bit.png", WIDE, {}, GREY_AS_RGB),
        ("grey_32_bit.tif", WIDE.astype(np.int32), {}, GREY_AS_RGB),
        ("palette.png", PALETTE, {}, np.asarray(PALETTE.convert("RGB"))),
        ("binary.png", BINARY, {}, np.asarray(BINARY.convert("RGB"))),
        ("rgba.png", RGBA, {}, ON_RED),
        ("rgba.webp", RGBA, {"lossless": True, "exact": True}, ON_RED),
        ("grey_alpha.png", Image.fromarray(RGBA).convert("LA"), {}, None),
        ("transparent_index.png", TRANSPARENT_INDEX, {"transparency": 1}, np.array([[[1, 2, 3], [200, 10, 20]]])),
    ],
)
def test_modes(tmp_path: Path, name: str, image: object, options: dict[str, object], expected: object) -> None:
    path = save(tmp_path / name, image, **options)  # type: ignore[arg-type]
    got = decode(path, background=[200, 10, 20])
    if expected is None:
        grey = np.asarray(Image.fromarray(RGB).convert("L"))[..., None]
        expected = np.where(RGBA[..., 3:] == 255, grey, np.array([200, 10, 20]))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (4, "RGBA"), ({"target": 1}, "RGB")])
def test_channels(tmp_path: Path, channels: object, mode: str) -> None:
    path = save(tmp_path / "a.png", RGBA)
    expected = (
        ON_RED
        if mode == "RGB"
        else np.asarray(Image.fromarray(RGBA if mode in ("LA", "RGBA") else ON_RED).convert(mode))
    )
    np.testing.assert_array_equal(decode(path, background=[200, 10, 20], channels=channels), expected)


def test_floats_outside_their_range_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", GREY.astype(np.float32))
    with pytest.raises(
        DataError, match=r"a\.tif: got floats from \d+ to \d+, expected 0 \(black\) to 1 \(white\); scale them"
    ):
        decode(path)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_modes(tmp_path: Path, mode: str) -> None:
    smooth = Image.fromarray(np.tile(np.linspace(20, 220, 32, dtype=np.uint8)[None, :, None], (32, 1, 3)))
    got = decode(save(tmp_path / "a.jpg", smooth.convert(mode), quality=98))
    assert np.abs(got.astype(int) - np.asarray(smooth)).max() <= 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    turns = {
        1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1], 5: RGB.swapaxes(0, 1),
        6: np.rot90(RGB, -1), 7: RGB[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(RGB),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", RGB, exif=exif)
    np.testing.assert_array_equal(decode(path), turns[orientation])
    with Image.open(path) as image:
        assert upright_size(image) == turns[orientation].shape[:2]


def test_fast_jpeg(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.fromarray(pixels(0, 20, 30)).resize((241, 160), Image.Resampling.BICUBIC))
    file = File(FolderStorage(tmp_path), path.name)

    def decoded(fast: bool, factor: float) -> tuple[tuple[int, int], tuple[int, int]]:
        found = decode_image(file, Decoding(fast_jpeg=fast), lambda size: factor)
        return found.image.size, found.size

    assert decoded(fast=True, factor=0.25) == ((61, 40), (160, 241))
    assert decoded(fast=True, factor=0.3) == ((121, 80), (160, 241))
    assert decoded(fast=True, factor=1.7) == ((241, 160), (160, 241))
    assert decoded(fast=False, factor=0.25) == ((241, 160), (160, 241))


def png(height: int, width: int, bits: int, data: bytes) -> bytes:
    """An RGB file, header and pixel data taken at their word."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_colours_of_16_bit_keep_their_upper_8(tmp_path: Path) -> None:
    wide = RGB.astype(">u2") * 256 + 77
    (tmp_path / "a.png").write_bytes(
        png(*GREY.shape, 16, b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide))
    )
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), RGB)


def giant_png(side: int) -> bytes:
    return png(side, side, 8, b"")


@pytest.mark.parametrize(
    ("content", "limit", "got"),
    [
        (giant_png(200), 0.039, "200x200 pixels"),
        (giant_png(10_000), 80, "10000x10000 pixels"),
        (giant_png(60_000), 80, "more than 178 megapixels"),
        (giant_png(10) + bytes(3_000_000), 0.1, "3 MB"),
    ],
)
def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, content: bytes, limit: float, got: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    message = (
        f"a.png: got {got}, expected at most {limit} megapixels; "
        "remove the file if it is a decompression bomb, otherwise raise decoding.max_megapixels"
    )
    with pytest.raises(DataError, match=message) as caught:
        decode(path, max_megapixels=limit)
    assert not isinstance(caught.value, BrokenImage)


def test_the_limit_itself_is_allowed(tmp_path: Path) -> None:
    assert decode(save(tmp_path / "a.png", pixels(0, 10, 10)), max_megapixels=100e-6).shape == (10, 10, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_truncated_files_are_broken(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", pixels(0, 40, 40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BrokenImage, match=rf"a{suffix}: broken image \(.+\)"):
        decode(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_other_files_are_broken(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(BrokenImage, match=r"a.png: broken image \((of no known format|.+)\)"):
        decode(path)
