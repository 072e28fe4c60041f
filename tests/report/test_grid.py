from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gancompress.errors import DataError
from gancompress.report.grid import GUTTER_PX, sample_grid


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def cells(path: Path, rows: int, columns: int, size: tuple[int, int]) -> list[list[np.ndarray]]:
    """The RGBA pixels of each cell; the rows stand at the lower end of the picture."""
    pixels = read(path)
    height, width = size
    top = pixels.shape[0] - rows * height - (rows - 1) * GUTTER_PX
    return [
        [
            pixels[top + row * (height + GUTTER_PX) :, column * (width + GUTTER_PX) :][:height, :width]
            for column in range(columns)
        ]
        for row in range(rows)
    ]


def test_pixels_are_enlarged_one_by_one(tmp_path: Path):
    images = torch.rand(2, 3, 4, 5) * 2 - 1
    sample_grid({"input": images, "grey": images[:, :1]}, tmp_path / "grid.png")
    assert read(tmp_path / "grid.png").shape[1] == 2 * 200 + GUTTER_PX
    grid = cells(tmp_path / "grid.png", 2, 2, (160, 200))  # 4 x 5 pixels, 40 times
    for row in range(2):
        levels = ((images[row] + 1) * 127.5).round().byte().numpy().transpose(1, 2, 0)
        expected = levels.repeat(40, 0).repeat(40, 1)
        assert np.array_equal(grid[row][0][..., :3], expected)
        assert np.array_equal(grid[row][1][..., :3], expected[..., :1].repeat(3, -1))
        assert (grid[row][0][..., 3] == 255).all()


def test_large_images_keep_their_pixels_and_values_are_clamped(tmp_path: Path):
    image = torch.full((1, 3, 200, 180), 3.0)
    image[..., 0] = float("nan")
    sample_grid({"a": image, "b": -image[:, :, :100, :90]}, tmp_path / "grid.png")
    [[a, b]] = cells(tmp_path / "grid.png", 1, 2, (200, 180))
    assert (a[:, 0, :3] == 0).all()
    assert (a[:, 1:, :3] == 255).all()
    assert (b[:, 2:, :3] == 0).all()


def test_label_maps_get_a_colour_for_each_class(tmp_path: Path):
    labels = torch.arange(20).reshape(1, 4, 5)
    scores = torch.nn.functional.one_hot(labels, 20).permute(0, 3, 1, 2).float()
    sample_grid({"labels": labels, "with channel": labels[:, None], "scores": scores}, tmp_path / "grid.png")
    [[first, second, third]] = cells(tmp_path / "grid.png", 1, 3, (160, 200))
    assert len(np.unique(first.reshape(-1, 4), axis=0)) == 20
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_background_is_transparent_and_labels_are_drawn(tmp_path: Path):
    images = torch.zeros(1, 3, 160, 160)
    sample_grid({"teacher": images, "a label much too long for the width of one column": images}, tmp_path / "grid.png")
    pixels = read(tmp_path / "grid.png")
    gutter = pixels[:, 160 : 160 + GUTTER_PX]
    assert (gutter[..., 3] == 0).all()
    header = pixels[: pixels.shape[0] - 160]
    assert (header[:, :160, 3] > 0).any()
    assert (header[:, 166:, 3] > 0).any()
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, "no columns"),
        ({"a": torch.zeros(0, 3, 8, 8)}, "at least one"),
        ({"a": torch.zeros(1, 3, 8, 8), "b": torch.zeros(2, 3, 8, 8)}, "as many images"),
        ({"a": torch.zeros(1, 3, 8, 8), "b": torch.zeros(1, 3, 8, 9)}, "aspect ratio"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path: Path, columns: dict, reason: str):
    with pytest.raises(DataError, match=reason):
        sample_grid(columns, tmp_path / "grid.png")


def test_labels_of_rows_stand_at_the_left_of_the_same_pixels(tmp_path: Path):
    images = {"a": torch.rand(2, 3, 4, 4) * 2 - 1}
    sample_grid(images, tmp_path / "plain.png")
    sample_grid(images, tmp_path / "named.png", ["first", "second"])
    plain, named = read(tmp_path / "plain.png"), read(tmp_path / "named.png")
    left = named.shape[1] - plain.shape[1]
    assert left > 4 * GUTTER_PX
    assert np.array_equal(named[:, left:], plain)
    for row in range(2):
        top = plain.shape[0] - (2 - row) * 160 - (1 - row) * GUTTER_PX
        assert named[top : top + 160, :left, 3].any()
    with pytest.raises(DataError, match="got 1 labels for 2 rows, expected one for each, or none"):
        sample_grid(images, tmp_path / "refused.png", ["first"])
