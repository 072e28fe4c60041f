"""Sizes of the images of a draft: network x folder x time -> size."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gancompress.errors import ConfigError, DataError
from gancompress.jobs.drafting import Request
from gancompress.jobs.drafting.sizes import batch_size_for, choose_size
from tests.jobs.drafting.facts import ASKED, FEW, FIXED, PHOTOS, STYLE, UPSCALER

SIZES = {
    "fast: as large as the images": (STYLE, PHOTOS, ASKED, 1e-7, (192, 192)),
    "slow: what 2,000 images take": (STYLE, PHOTOS, ASKED, 1e-4, (64, 64)),
    "very slow: the smallest": (UPSCALER, PHOTOS, ASKED, 1e-3, (32, 32)),
    "more time, larger crops": (UPSCALER, PHOTOS, replace(ASKED, minutes=300), 1e-3, (64, 64)),
    "small images": (STYLE, FEW, ASKED, 1e-7, (88, 88)),
    "one size": (FIXED, PHOTOS, ASKED, 1e-7, (128, 128)),
    "said": (STYLE, PHOTOS, replace(ASKED, size=(64, 128)), 1e-4, (64, 128)),
    "milliseconds: that of the images": (
        STYLE,
        PHOTOS,
        Request("x.pth", "photos", latency_ms=5, runtime="eager"),
        1e-6,
        (192, 256),
    ),
}


@pytest.mark.parametrize(("network", "folder", "request_", "pace", "size"), SIZES.values(), ids=SIZES)
def test_the_size_follows_from_images_network_and_time(network, folder, request_, pace, size):
    assert choose_size(network, folder, request_, pace) == size


WRONG_SIZES = {
    "a teacher that is too slow": (
        UPSCALER,
        PHOTOS,
        replace(ASKED, minutes=2),
        2e-3,
        ConfigError,
        r"--minutes: got 2, but rrdbnet takes 2 s for one of its crops of 32x32, so that a student sees 33, expected "
        r"at least 100; give --minutes 7$",
    ),
    "a size that makes it slow": (
        UPSCALER,
        PHOTOS,
        replace(ASKED, size=(128, 128)),
        2e-3,
        ConfigError,
        r"so that a student sees 31, .*give --minutes \d+, or a smaller --size",
    ),
    "a size that does not fit": (
        STYLE,
        PHOTOS,
        replace(ASKED, size=(30, 32)),
        1e-6,
        ConfigError,
        r"--size: got 30x32, expected sides divisible by 4",
    ),
    "a size beyond the images": (STYLE, PHOTOS, replace(ASKED, size=(256, 256)), 1e-6, DataError, r"smaller than 256x"),
    "another size than the only one": (
        FIXED,
        PHOTOS,
        replace(ASKED, size=(64, 64)),
        1e-6,
        ConfigError,
        r"--size: got 64x64, expected 128x128, all that the network takes",
    ),
    "images below the only size": (FIXED, FEW, ASKED, 1e-6, DataError, r"expected at least that, the only size that"),
}


@pytest.mark.parametrize(
    ("network", "folder", "request_", "pace", "error", "message"), WRONG_SIZES.values(), ids=WRONG_SIZES
)
def test_a_size_that_cannot_be_is_one_line(network, folder, request_, pace, error, message):
    with pytest.raises(error, match=message):
        choose_size(network, folder, request_, pace)


def test_slow_teachers_get_small_batches():
    assert [batch_size_for(ASKED, seconds) for seconds in (0.1, 2.0, 8.0)] == [4, 2, 1]
