"""Choice of what is kept of a teacher: by space, by time, as asked, or refused in one line."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch

from gancompress.errors import ConfigError
from gancompress.methods.teacher_trial import Choice, Repeats, Trial, choose, fits_memory
from gancompress.objectives.teacher_cache import GIB, TeacherCacheOptions

MB = 2**20
NUM_IMAGES = 100


def repeats(tmp_path, views=None, images=NUM_IMAGES, folder=True, **options) -> Repeats:
    place = tmp_path / "outputs" if folder else None
    return Repeats(TeacherCacheOptions(**options), images, views, dict, lambda _: None, place)  # type: ignore[arg-type]


def trial(teacher_s=3.0, student_s=0.1, size=MB, scale=1.0) -> Trial:
    return Trial({"image": torch.full((1, size // 4), scale)}, teacher_s, student_s)


def chosen(given: Repeats, num_images=1_000_000, **tried) -> tuple[Choice | None, list[str]]:
    lines: list[str] = []
    return choose(given, num_images, lines.append, lambda: trial(**tried)), lines


@pytest.mark.parametrize(
    ("views", "size", "options", "fits"),
    [
        (1, GIB // 100, {}, True),
        (2, GIB // 100, {}, False),
        (2, GIB // 100, {"memory_gib": 2}, True),
        (1, MB, {"copies": 1}, False),
        (None, MB, {}, False),
    ],
)
def test_outputs_for_all_inputs_stay_in_memory_where_they_fit(tmp_path, views, size, options, fits):
    assert fits_memory(repeats(tmp_path, views, **options), size) is fits


@pytest.mark.parametrize(
    ("views", "num_images", "tried", "expected"),
    [
        (2, 1_000_000, {}, Choice(True, None, True)),
        (None, 1_000_000, {}, Choice(True, 163, True)),  # 8 GiB hold 16,384 outputs in half precision
        (None, 200_000, {}, Choice(True, 66, True)),  # the teacher takes as long as the student
        (None, 3_200, {}, Choice(True, 4, True)),
        (None, 3_199, {}, None),
        (2, 199, {}, None),
        (None, 1_000_000, {"teacher_s": 0.1}, None),
        (None, 1_000_000, {"scale": 1e5}, Choice(True, 81, False)),
    ],
)
def test_a_slow_teacher_is_kept_on_disk(tmp_path, views, num_images, tried, expected):
    assert chosen(repeats(tmp_path, views), num_images, **tried)[0] == expected


def test_the_choice_is_said_with_sizes_and_seconds(tmp_path):
    (line,) = chosen(repeats(tmp_path, copies=4))[1]
    assert line.startswith(
        "teacher_cache: the teacher takes 3.00 s for an input, the student's step 0.100 s: outputs for 400 inputs (4 "
        "random crops and flips of each image) are made once and kept, 524 kB each in half precision (relative error "
        "of the image 0.0), 0.20 GiB in "
    )
    assert line.endswith("; 20 min 00 s of the teacher instead of 833 h 20 min")


def test_too_little_space_for_a_slow_teacher_is_said(tmp_path):
    got, (line,) = chosen(repeats(tmp_path, disk_gib=0.1))
    assert got is None
    assert "not used, though the teacher takes 3.00 s for an input and the student's step 0.100 s" in line
    assert "need 0.20 GiB; expected disk_gib: 0.2 and twice as much free space" in line


@pytest.mark.parametrize(
    ("views", "options", "message"),
    [
        (None, {"required": True}, r"inputs never repeat \(random crops or noise\); expected copies: 4, or required"),
        (
            2,
            {"required": True, "disk_gib": 0.01},
            "outputs need 0.10 GiB; expected disk_gib: 0.1 and .*required: false",
        ),
        (2, {"copies": 2}, "copies: got 2, but all inputs repeat: 2 are made of an image; expected no copies"),
        (None, {"copies": 9, "disk_gib": 0.2}, "got 9 of 100 images, 0.44 GiB, with disk_gib: 0.2; expected copies: 4"),
        (None, {"copies": 10_000, "required": True}, "do not come twice in 1,000,000 images .*; expected fewer copies"),
    ],
)
def test_contradictions_are_refused_before_training(tmp_path, views, options, message):
    with pytest.raises(ConfigError, match="teacher_cache: .*" + message):
        chosen(repeats(tmp_path, views, **options))


def test_too_little_free_disk_is_said_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=GIB // 8))
    with pytest.raises(ConfigError, match=r"got 0.12 GiB free on the disk of .*, expected 0.20 GiB .*; free some"):
        chosen(repeats(tmp_path, copies=4))


def test_without_a_folder_copies_stay_in_memory(tmp_path):
    assert chosen(repeats(tmp_path, folder=False, copies=4))[0] == Choice(False, 4, True)
    with pytest.raises(ConfigError, match=r"with memory_gib: 0\.1; expected copies: 2 or memory_gib: 0\.2"):
        chosen(repeats(tmp_path, folder=False, copies=4, memory_gib=0.1))
