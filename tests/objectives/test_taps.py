"""Taps name modules of both networks, and match maps of other architectures by their size."""

from __future__ import annotations

import pytest
import torch

from gancompress.errors import ConfigError
from gancompress.networks.registry import FAMILIES, build
from gancompress.objectives.students import tapped
from gancompress.objectives.supervision import common_taps
from gancompress.objectives.taps import matched_taps, path_in


@pytest.mark.parametrize(
    ("tap", "teacher", "student"), [("down.1", "down.1", "down.1"), ("blocks.5=blocks.3", "blocks.5", "blocks.3")]
)
def test_paths(tap, teacher, student):
    assert (path_in("teacher", tap), path_in("student", tap)) == (teacher, student)


@pytest.mark.parametrize(
    ("teacher", "student", "expected"),
    [
        ({"a": 8, "b": 4}, {"a": 8, "b": 4}, ("a", "b")),
        ({"a": 8, "b": 4, "c": 4, "d": 4}, {"x": 4, "y": 4}, ("c=x", "d=y")),
        ({"a": 4, "b": 8}, {"x": 8, "y": 4, "z": 4}, ("a=z",)),
        ({"a": 8}, {"x": 4}, ()),
    ],
)
def test_maps_match_by_size_in_order(teacher, student, expected):
    teacher, student = ({name: torch.zeros(1, 2, n, n) for name, n in each.items()} for each in (teacher, student))
    assert matched_taps(teacher, student) == expected


def test_a_shallower_student_is_matched_stage_by_stage():
    example, family = torch.zeros(1, 3, 16, 16), FAMILIES.find("resnet")
    configs = {"teacher": {"ngf": 4, "num_blocks": 6}, "student": {"ngf": 4, "num_blocks": 4, "separable": True}}
    teacher, student = (build("resnet", config) for config in configs.values())
    theirs, own = (family.architecture(config).distillation_taps for config in configs.values())
    found = common_taps(teacher, student, example, theirs, own)
    assert found == ("down.1", "blocks.1=blocks.0", "blocks.3=blocks.1", "blocks.5=blocks.3")
    with tapped(student, found, "student") as maps:
        student(example)
    assert set(maps) == set(found)
    assert common_taps(teacher, teacher, example, theirs) == theirs
    assert common_taps(teacher, student, example, ["stem", "blocks.5"]) == ("stem", "blocks.5=blocks")
    with (
        pytest.raises(ConfigError, match=r"taps: got 'blocks.9', expected a module of the student; did you mean"),
        tapped(student, ["blocks.5=blocks.9"], "student"),
    ):
        pytest.fail("not reached")
