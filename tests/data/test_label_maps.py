from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gancompress.data.decoding import Decoding
from gancompress.data.label_maps import Classes, decode_instance, decode_label, instance_edges
from gancompress.data.storage import File, FolderStorage
from gancompress.errors import ConfigError, DataError
from tests.data.pictures import save

VALUES = np.array([[0, 1, 2], [2, 1, 255]], np.uint8)
COLOURS = np.array([[10, 20, 30], [0, 0, 0], [200, 0, 1], [9, 9, 9]], np.uint8)
INDEXED = Image.fromarray(VALUES)
INDEXED.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
COLOURED = COLOURS[np.where(VALUES == 255, 3, VALUES)]


def label(path: Path, **classes: object) -> NDArray[np.integer]:
    return np.asarray(decode_label(File(FolderStorage(path.parent), path.name), Classes(**classes), Decoding()).image)


@pytest.mark.parametrize(
    ("image", "classes"),
    [
        (VALUES, {"ignore": [255]}),
        (INDEXED, {}),
        (VALUES.astype(np.uint16), {}),
        (COLOURED, {"palette": COLOURS.tolist(), "ignore": [3]}),
        (Image.fromarray(COLOURED).quantize(8), {"palette": COLOURS.tolist(), "ignore": [3]}),
    ],
)
def test_formats(tmp_path: Path, image: NDArray[np.generic], classes: dict[str, object]) -> None:
    got = label(save(tmp_path / "a.png", image), num_classes=3, **classes)
    np.testing.assert_array_equal(got, [[0, 1, 2], [2, 1, 3]])


def test_more_than_255_classes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[300, 2, 500]], np.uint16))
    assert label(path, num_classes=400, ignore=[500]).tolist() == [[300, 2, 400]]


@pytest.mark.parametrize(
    ("image", "classes", "message"),
    [
        (
            VALUES,
            {"num_classes": 2, "ignore": [7]},
            "a.png: got label 2, 255, expected 0 to 1 or one of ignore [7]; correct",
        ),
        (COLOURED, {"num_classes": 3}, "a.png: got a colour image (mode RGB), expected one channel"),
        (
            COLOURED,
            {"num_classes": 2, "palette": COLOURS[:2].tolist()},
            "a.png: got 3 pixels of colours that are not in the palette, such as (9, 9, 9), (200, 0, 1), expected",
        ),
    ],
)
def test_values_that_do_not_fit(
    tmp_path: Path, image: NDArray[np.generic], classes: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        label(save(tmp_path / "a.png", image), **classes)
    assert message in str(caught.value)


def test_palette_too_short() -> None:
    with pytest.raises(ConfigError, match="palette: got 1 colours, expected at least 2"):
        Classes(num_classes=2, palette=[[0, 0, 0]])


def test_names_and_colours() -> None:
    plain = Classes(num_classes=3)
    assert plain.shown_names == ("0", "1", "2")
    assert len(set(plain.shown_colours)) == 3
    given = Classes(num_classes=2, names=["road", "sky"], palette=[[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert given.shown_names == ("road", "sky")
    assert given.shown_colours == ((1, 2, 3), (4, 5, 6))
    for option in ({"names": ["road"]}, {"colours": [[0, 0, 0]]}):
        with pytest.raises(ConfigError, match=f"{next(iter(option))}: got 1, expected one for each of 2 classes"):
            Classes(num_classes=2, **option)


def test_instances(tmp_path: Path) -> None:
    numbers = np.array([[24_001, 24_001], [3, 65_535]], np.uint16)
    colours = np.array([[[1, 0, 2], [0, 0, 2]]], np.uint8)
    for image, expected in ((numbers, numbers), (colours, [[65_538, 2]]), (VALUES, VALUES)):
        file = File(FolderStorage(tmp_path), save(tmp_path / "a.png", image).name)
        np.testing.assert_array_equal(np.asarray(decode_instance(file, Decoding()).image), expected)


def test_instance_edges() -> None:
    instance = torch.tensor([[1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 1, 1], [1, 1, 1, 1]])
    expected = [[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert instance_edges(instance).int().tolist() == expected
    assert instance_edges(instance.expand(2, 3, 4, 4)).int().tolist() == [[expected] * 3] * 2
