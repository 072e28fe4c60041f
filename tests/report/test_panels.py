"""Pictures of outputs that are no images."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from gancompress.report.panels import draw_samples


@pytest.mark.parametrize(
    "made",
    [(4, 1, 100), (4, 2, 5000), (4, 20, 30), (4, 16), (4, 3, 5, 6, 7)],
    ids=["wave", "long wave", "mels", "vector", "volume"],
)
def test_each_column_is_drawn(tmp_path, made):
    draw_samples({"input": torch.rand(4, 8, 12), "teacher": torch.rand(made)}, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 640
        assert picture.height == 570
        halves = [picture.convert("L").crop((left, 60, left + 300, 570)).getextrema() for left in (0, 320)]
    assert all(dark < light for dark, light in halves)


def test_images_stay_a_grid(tmp_path):
    draw_samples({"input": torch.rand(2, 3, 160, 160), "large": torch.rand(2, 1, 320, 320)}, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 2 * 320 + 6


def test_images_of_another_aspect_ratio_are_plotted(tmp_path):
    draw_samples({"input": torch.rand(2, 1, 20, 40), "made": torch.rand(2, 1, 40, 40)}, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 640
