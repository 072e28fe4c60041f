"""Parameter counts, to the unit, against published ones and closed formulas."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from gancompress.networks.registry import architecture_of
from tests.networks.plan_strings import at_string


def num_parameters(family: str, config: dict[str, Any]) -> int:
    return sum(parameter.numel() for parameter in architecture_of(family, config).skeleton().parameters())


@pytest.mark.parametrize(
    ("family", "config", "expected"),
    [
        ("resnet_9blocks", {"ngf": 64}, 11_378_179),
        ("resnet_9blocks", {"ngf": 96}, 25_582_851),
        ("resnet_9blocks", {"ngf": 32}, 2_850_563),
        ("resnet_9blocks", {"ngf": 16}, 715_651),
        ("resnet_6blocks", {"ngf": 64}, 7_837_699),
        ("mobile_resnet_9blocks", {"ngf": 64}, 1_987_075),
        ("mobile_resnet_9blocks", {"ngf": 96}, 4_418_307),
        ("mobile_resnet_9blocks", {"ngf": 48}, 1_130_883),
        ("mobile_resnet_9blocks", {"ngf": 32}, 514_307),
        ("resnet_9blocks", {"affine_norms": "prunable"}, 11_383_555),
        ("patchgan", {"in_channels": 6, "ndf": 128}, 11_040_641),
        ("patchgan", {"in_channels": 3, "ndf": 64}, 2_764_737),
        ("patchgan", {"in_channels": 6, "ndf": 64}, 2_767_809),
        ("patchgan", {"affine": True, "global_average": True}, 2_766_529),
        ("cartoongan", {}, 11_129_667),
        ("rrdbnet", {}, 16_697_987),
        ("rrdbnet", {"num_blocks": 6}, 4_467_779),
        ("srvggnet_compact", {}, 621_424),
        ("spade", {"spectral_norm": True}, 93_048_003),
        ("multiscale_patchgan", {}, 5_601_410),
        ("multiscale_patchgan", {"spectral_norm": False}, 5_601_410),
        ("multiscale_patchgan", {"in_channels": 187}, 5_904_514),
    ],
)
def test_dense_networks(family: str, config: dict[str, Any], expected: int) -> None:
    assert num_parameters(family, config) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("16_16_32_16_32_32_16_16", 356_867),
        ("16_16_24_16_32_64_16_24", 355_235),
        ("24_24_24_32_20_16", 341_627),
        ("32_32_48_32_48_48_16_16", 822_051),
        ("24_24_40_56_24_56_16_40", 702_835),
        ("legacy:32_32_40_48_16_32", 699_875),
        ("32_32_48_32_32_48_24_24", 780_819),
        ("16_24_48_56_40_48_24_16", 886_307),
        ("48_32_40_40_24_32", 707_347),
        ("32_32_48_32_48_32_16_16", 746_211),
        ("16_16_40_40_40_64_24_16", 719_507),
        ("32_32_48_40_64_40_16_32", 904_867),
        ("16_16_16_16_16_16_16_16", 137_347),
        ("32_32_32_32_32_32_16_16", 461_219),
    ],
)
def test_sub_networks(text: str, expected: int) -> None:
    family = "mobile_resnet_9blocks"
    assert num_parameters(family, at_string(family, text).config) == expected


@pytest.mark.parametrize(("family", "num_downs"), [("unet_128", 7), ("unet_256", 8), ("unet", 5)])
@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("ngf", [64, 24])
def test_unet(family: str, num_downs: int, norm: str, ngf: int) -> None:
    """Sum over the levels: a 4x4 convolution down, and one up from twice the width (once at the innermost level)."""
    widths = [3, *(ngf * min(2**i, 8) for i in range(num_downs))]
    expected = 3
    for level, (outer, inner) in enumerate(pairwise(widths)):
        innermost, outermost = level == num_downs - 1, level == 0
        expected += 16 * outer * inner + 16 * inner * (1 if innermost else 2) * outer
        num_norm_channels = (0 if outermost or innermost else inner) + (0 if outermost else outer)
        num_biased_channels = inner + (0 if outermost else outer)
        expected += 2 * num_norm_channels if norm == "batch" else num_biased_channels
    config = {"ngf": ngf, "norm": norm} | ({"num_downs": num_downs} if family == "unet" else {})
    assert num_parameters(family, config) == expected


def test_published_unet_size() -> None:
    assert num_parameters("unet_256", {}) == pytest.approx(54.4e6, rel=1e-3)


@pytest.mark.parametrize(("norm", "biases_or_norm"), [("instance", 128 + 1), ("batch", 2 * 128)])
def test_pixelgan(norm: str, biases_or_norm: int) -> None:
    assert num_parameters("pixelgan", {"norm": norm}) == (3 * 64 + 64) + 64 * 128 + 128 + biases_or_norm
