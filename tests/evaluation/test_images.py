from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from gancompress.errors import MetricError
from gancompress.evaluation import RESIZES, psnr, quantize, resize, structural_similarity

LEVELS = torch.arange(256, dtype=torch.uint8)
STORED = torch.randint(0, 256, (2, 3, 24, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rounding", ["nearest", "down"])
@pytest.mark.parametrize(
    "from_bytes", [lambda x: x / 255 * 2 - 1, lambda x: x / 127.5 - 1, lambda x: (x / 255 - 0.5) / 0.5]
)
def test_stored_images_survive_the_way_to_floats_and_back(rounding, from_bytes):
    images = LEVELS.view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    assert quantize(from_bytes(images.float()), rounding).equal(images)
    assert quantize(images, rounding) is images


def test_rounding():
    values = torch.tensor([-1.2, -1.0, 0.0, 0.6 / 127.5, 1.0, 1.1]).view(1, 1, 1, 6).repeat(1, 3, 1, 1)
    assert quantize(values, "nearest")[0, 0, 0].tolist() == [0, 0, 128, 128, 255, 255]
    assert quantize(values, "down")[0, 0, 0].tolist() == [0, 0, 127, 128, 255, 255]


@pytest.mark.parametrize("size", [(13, 11), (50, 64), (24, 20)])
def test_clean_is_pillow(size):
    resized = resize(STORED, size, "clean")
    for image, got in zip(STORED, resized, strict=True):
        for channel, result in zip(image.numpy(), got.numpy(), strict=True):
            theirs = Image.fromarray(channel.astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC)
            assert np.allclose(result * 255, np.asarray(theirs).clip(0, 255), atol=1e-3)


def test_paper_is_bilinear_without_antialiasing():
    expected = F.interpolate(STORED.float() / 255, size=(12, 10), mode="bilinear", align_corners=False)
    assert resize(STORED, (12, 10), "paper").equal(expected)
    # Half the size: every pixel is the mean of four, however fine the pattern.
    assert torch.allclose(expected, F.avg_pool2d(STORED.float() / 255, 2), atol=1e-6)


@pytest.mark.parametrize("protocol", RESIZES)
def test_size_of_none_keeps_images(protocol):
    assert resize(STORED, None, protocol).equal(STORED.float() / 255)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(2, 1, 8, 8), r"got torch.float32 of shape \(2, 1, 8, 8\)"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int64), "got torch.int64"),
        (torch.full((1, 3, 8, 8), torch.nan), "values that are not finite"),
    ],
)
def test_images_are_checked(images, message):
    with pytest.raises(MetricError, match=message):
        resize(images, (4, 4))


def test_protocols_are_checked():
    with pytest.raises(MetricError, match=r"resizing: got 'cleen', expected a known one; did you mean 'clean'\?"):
        resize(STORED, (4, 4), "cleen")
    with pytest.raises(MetricError, match="got rounding 'up'"):
        quantize(STORED, "up")


def test_psnr():
    image = pytest.importorskip("torchmetrics.functional.image", reason="needs torchmetrics")
    other = (STORED.int() + 7 * (torch.arange(20) % 2)).clamp(0, 255).to(torch.uint8)
    theirs = [
        float(image.peak_signal_noise_ratio(a.double(), b.double(), data_range=255.0))
        for a, b in zip(other, STORED, strict=True)
    ]
    assert psnr(other, STORED).tolist() == pytest.approx(theirs, rel=1e-6)
    assert psnr(STORED, STORED).tolist() == [100, 100]


def test_psnr_of_a_known_error():
    black, gray = torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.full((1, 3, 4, 4), 51, dtype=torch.uint8)
    assert float(psnr(gray, black)) == pytest.approx(20 * np.log10(5))


def test_structural_similarity():
    assert structural_similarity(STORED, STORED).tolist() == pytest.approx([1, 1])
    floats = STORED.float() / 127.5 - 1
    assert structural_similarity(floats, STORED.flip(3)).equal(structural_similarity(STORED, STORED.flip(3)))
    with pytest.raises(MetricError, match="pairs: got images of shape"):
        psnr(STORED, STORED[:1])
