from __future__ import annotations

from typing import Any

import pytest

from gancompress.errors import ConfigError, PlanError
from gancompress.networks.config_strings import (
    string_from_widths,
    widths_from_string,
)
from gancompress.networks.registry import FAMILIES, architecture_of
from tests.networks.plan_strings import at_string

MOBILE = FAMILIES.find("mobile_resnet_9blocks").parse({})
DENSE = FAMILIES.find("resnet_9blocks").parse({})


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("16_16_32_16_24_40_16_48", "slots8"),
        ("24_24_24_32_20_16", "slots6"),
        ("legacy:32_32_40_48_56_64_16_32", "legacy8"),
        ("legacy:32_32_40_48_16_32", "legacy6"),
        ("60_120_1_2_3_4_5_6_7_8_9_121_61", "slimming"),
    ],
)
@pytest.mark.parametrize("config", [MOBILE, DENSE], ids=["mobile", "dense"])
def test_round_trip(config, text: str, form: str) -> None:
    widths = widths_from_string(config, text)
    assert list(widths) == list(config.default_widths())
    assert string_from_widths(config, widths, form) == text
    assert string_from_widths(config.at_widths(widths), {}, form) == text


def test_meaning_of_eight_slots() -> None:
    widths = widths_from_string(MOBILE, "1_2_3_4_5_6_7_8")
    middles = [widths.pop(group) for group in MOBILE.block_groups]
    assert middles == [16, 16, 16, 20, 20, 20, 24, 24, 24]
    assert widths == {"stem.conv": 1, "down.0.conv": 4, "down.1.conv": 12, "up.0.conv": 14, "up.1.conv": 8}


def test_legacy_middles() -> None:
    """Only the first block of each third has a middle of its own; the others are as wide as the stream."""
    widths = widths_from_string(MOBILE, "legacy:1_2_3_4_5_6_7_8")
    assert [widths[group] for group in MOBILE.block_groups] == [16, 12, 12, 20, 12, 12, 24, 12, 12]
    widths = widths_from_string(MOBILE, "legacy:1_2_3_4_7_8")
    assert [widths[group] for group in MOBILE.block_groups] == [16, 12, 12] * 3


def test_slimming_keeps_the_stream() -> None:
    widths = widths_from_string(DENSE, "_".join(["8"] * 13))
    assert widths.pop("down.1.conv") == 256
    assert set(widths.values()) == {8}


def test_six_blocks_in_three_pairs() -> None:
    config = FAMILIES.find("resnet_6blocks").parse({})
    groups = [slot.groups for slot in config.slots("slots8")[3:6]]
    assert groups == [tuple(f"blocks.{i}.conv1" for i in pair) for pair in ((0, 1), (2, 3), (4, 5))]
    assert len(config.slots("slimming")) == 10


def test_config_from_string() -> None:
    config = at_string("mobile_resnet_9blocks", "16_16_16_16_16_16_16_16").config
    assert config["ngf"] == 16
    assert config["widths"] == {}
    config = at_string("resnet_9blocks", "8_" * 12 + "8", ngf=32, affine_norms="prunable").config
    assert (config["ngf"], config["affine_norms"], "down.1.conv" in config["widths"]) == (32, "prunable", False)


@pytest.mark.parametrize(
    ("family", "text", "error", "message"),
    [
        ("resnet_9blocks", "16_x", PlanError, "got '16_x', expected whole numbers joined by '_'"),
        ("resnet_9blocks", "16_16_16", PlanError, "got 3 numbers .* 13 \\(slimming\\), 8 \\(slots8\\), 6 \\(slots6\\)"),
        ("resnet_9blocks", "legacy:1_2_3", PlanError, "8 \\(legacy8\\), 6 \\(legacy6\\)"),
        ("resnet_9blocks", "0_1_1_1_1_1_1_1", PlanError, "expected numbers of at least 1"),
        (
            "unet_256",
            "1_1_1_1_1_1",
            PlanError,
            "got '1_1_1_1_1_1' for UnetConfig, whose widths have no such strings; give widths by group name",
        ),
        ("resnet_nine", "1_1_1_1_1_1", ConfigError, "family: got 'resnet_nine'"),
    ],
)
def test_errors(family: str, text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        at_string(family, text)


def test_too_few_blocks_for_thirds() -> None:
    with pytest.raises(PlanError, match="got a network of 2 blocks, expected at least 3"):
        at_string("resnet", "1_1_1_1_1_1_1_1", num_blocks=2)


@pytest.mark.parametrize(
    ("widths", "form", "message"),
    [
        ({"blocks.0.conv1": 8}, "slots8", "slot c3: its groups have widths"),
        ({"down.0.conv": 3}, "slots8", "slot c1: width 3 is no multiple of 2"),
        ({"down.1.conv": 128}, "slimming", "got down.1.conv of width 128, expected 256; use another form"),
    ],
)
def test_widths_that_a_form_cannot_write(widths: dict[str, int], form: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        string_from_widths(DENSE, widths, form)


@pytest.mark.parametrize(
    ("family", "config", "expected"),
    [
        ("mobile_resnet_9blocks", {"ngf": 16}, "16_16_16_16_16_16_16_16"),
        ("resnet_9blocks", {"widths": {"blocks.0.conv1": 7}}, "64_128_7_256_256_256_256_256_256_256_256_128_64"),
        ("resnet_9blocks", {"widths": {"down.0.conv": 3, "down.1.conv": 5}}, None),
        ("unet_256", {}, None),
        ("torch.nn:Identity", {}, None),
    ],
)
def test_plan_string(family: str, config: dict[str, Any], expected: str | None) -> None:
    assert architecture_of(family, config).plan_string() == expected
