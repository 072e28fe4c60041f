from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from gancompress.data.transform import (
    Transform,
    choose_view,
    loaded_size,
    resize,
    resize_factor,
    take_view,
    to_tensor,
)
from gancompress.errors import ConfigError, DataError
from tests.data.pictures import pixels


@pytest.mark.parametrize(
    ("options", "in_training", "otherwise"),
    [
        ({"load_size": 286, "crop_size": 256}, (286, 286), (256, 256)),
        ({"load_size": [30, 60], "crop_size": [20, 50]}, (30, 60), (20, 50)),
        ({"load_size": 64}, (64, 64), (64, 64)),
        ({"resize": "shorter", "load_size": 50, "crop_size": 40}, (50, 100), (40, 80)),
        ({"resize": "shorter", "load_size": 50}, (50, 100), (50, 100)),
        ({"resize": "shorter", "load_size": 50, "crop_size": [20, 80]}, (50, 100), (40, 80)),
        ({"resize": "width", "load_size": 80, "crop_size": [30, 60]}, (40, 80), (30, 60)),
        ({"resize": "width", "load_size": 80}, (40, 80), (40, 80)),
        ({"resize": "none", "crop_size": 64}, (100, 200), (100, 200)),
    ],
)
def test_loaded_size(options: dict[str, object], in_training: tuple[int, int], otherwise: tuple[int, int]) -> None:
    transform = Transform(**options)
    assert loaded_size((100, 200), transform, augment=True) == in_training
    assert loaded_size((100, 200), transform, augment=False) == otherwise
    factors = in_training[0] / 100, in_training[1] / 200
    assert resize_factor((100, 200), transform, augment=True) == max(factors)


def test_crop_fits_without_augmentation_at_any_aspect() -> None:
    transform = Transform(resize="shorter", load_size=40, crop_size=[32, 36])
    for height in range(20, 90, 7):
        for width in range(20, 90, 11):
            size = loaded_size((height, width), transform, augment=False)
            assert choose_view(size, transform, None, "a").height == 32


def test_views_cover_every_place_and_both_sides() -> None:
    transform = Transform(load_size=6, crop_size=[5, 4])
    draw = np.random.default_rng(0)
    views = Counter(choose_view((6, 6), transform, draw, "a") for _ in range(1200))
    assert len(views) == 2 * 3 * 2
    assert min(views.values()) > 60
    assert not any(choose_view((6, 6), Transform(load_size=6, flip=False), draw, "a").flip for _ in range(20))


def test_central_view() -> None:
    view = choose_view((10, 13), Transform(resize="none", crop_size=[4, 6]), None, "a")
    assert (view.top, view.left, view.height, view.width, view.flip) == (3, 3, 4, 6, False)


def test_taking_a_view_equals_slicing() -> None:
    image = pixels(0, 10, 13)
    for seed in range(6):
        view = choose_view((10, 13), Transform(resize="none", crop_size=[4, 6]), np.random.default_rng(seed), "a")
        expected = image[view.top : view.top + 4, view.left : view.left + 6]
        taken = np.asarray(take_view(Image.fromarray(image), view))
        np.testing.assert_array_equal(taken, expected[:, ::-1] if view.flip else expected)


def test_discrete_maps_are_never_blended() -> None:
    labels = Image.fromarray(np.array([[0, 200], [7, 13]], np.uint8))
    assert set(np.asarray(resize(labels, (7, 5), discrete=True)).flatten()) == {0, 200, 7, 13}
    numbers = Image.fromarray(np.array([[70_000, 3]], np.int32))
    assert set(np.asarray(resize(numbers, (4, 6), discrete=True)).flatten()) == {70_000, 3}


def test_resizing_is_antialiased() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 32)))
    assert np.abs(np.asarray(resize(stripes, (8, 8))).astype(int)[2:-2, 2:-2] - 127).max() <= 2


def test_tensors() -> None:
    image = to_tensor(Image.fromarray(np.array([[[0, 255, 51]]], np.uint8)))
    assert image.dtype == torch.float32
    assert image.flatten().tolist() == pytest.approx([-1, 1, -0.6])
    labels = to_tensor(Image.fromarray(np.array([[3, 70_000]], np.int32)), discrete=True)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [[3, 70_000]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "load_size: got none, expected one with resize 'exact'"),
        ({"resize": "none", "load_size": 4}, "load_size: got 4x4, expected none with resize 'none'"),
        ({"resize": "width", "load_size": [4, 5]}, "load_size: got 4x5, expected one number with resize 'width'"),
        ({"load_size": 8, "crop_size": 9}, "crop_size: got 9x9, expected at most the load_size 8x8"),
        ({"load_size": 0}, "load_size.0: got 0, expected greater than or equal to 1"),
        ({"load_size": 8, "crop": 4}, "crop: unknown option, did you mean 'crop_size'?"),
        ({"load_size": 8, "resize": "both"}, "resize: got 'both', expected 'exact', 'shorter', 'width' or 'none'"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Transform(**options)
    assert message in str(caught.value)


def test_image_smaller_than_the_crop() -> None:
    with pytest.raises(DataError, match=r"x.png: got an image that loads as 4x9 .* at least the crop size 8x8; reduce"):
        choose_view((4, 9), Transform(resize="none", crop_size=8), None, "x.png")
