"""Kept outputs of a teacher: found by content, bounded, rounded alike, complete or absent on disk."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gancompress.errors import ConfigError
from gancompress.objectives.teacher_cache import TeacherCache, TeacherCacheOptions, digests

MEMORY = 2**20


class Teacher:
    """Doubles its input, and counts the batches that it ran."""

    def __init__(self) -> None:
        self.num_runs = 0

    def run(self, inputs: Tensor) -> dict[str, Tensor]:
        self.num_runs += 1
        return {"image": 2 * inputs, "map/a": inputs.mean((2, 3))}


def ask(cache: TeacherCache, teacher: Teacher, inputs: Tensor, half: bool = False) -> None:
    outputs = cache.get(digests(inputs), lambda: teacher.run(inputs))
    for got, wanted in ((outputs["image"], 2 * inputs), (outputs["map/a"], inputs.mean((2, 3)))):
        assert torch.equal(got, wanted.half().float() if half else wanted)


def opened(folder=None, memory=MEMORY, disk=MEMORY, half=False, names=("image", "map/a"), log=print) -> TeacherCache:
    return TeacherCache(names, memory, log, folder=folder, disk_bytes=disk, half=half)


def test_equal_inputs_have_equal_digests_and_others_do_not():
    inputs = torch.randn(3, 3, 4, 4)
    again = torch.stack([inputs[2], inputs[0], inputs[0].flip(-1)])
    first, second = digests(inputs), digests(again)
    assert (second[0], second[1]) == (first[2], first[0])
    assert len({*first, second[2]}) == 4


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_batch_of_known_inputs_does_not_run_the_teacher(tmp_path, place, half):
    folder = tmp_path if place == "disk" else None
    cache, teacher, inputs = opened(folder, half=half), Teacher(), torch.randn(4, 3, 8, 8)
    ask(cache, teacher, inputs[:2], half)
    ask(cache, teacher, inputs[:2].flip(0), half)
    assert teacher.num_runs == 1
    ask(cache, teacher, inputs[1:3], half)
    assert teacher.num_runs == 2
    ask(cache, teacher, inputs[[0, 2]], half)
    assert teacher.num_runs == 2
    if place == "disk":
        ask(opened(folder, memory=0, half=half), teacher, inputs[[2, 1]], half)
        assert teacher.num_runs == 2


def test_another_process_finds_what_one_wrote_meanwhile(tmp_path):
    first, second, teacher = opened(tmp_path), opened(tmp_path), Teacher()
    inputs = torch.randn(2, 3, 8, 8)
    ask(first, teacher, inputs)
    ask(second, teacher, inputs)
    assert teacher.num_runs == 1


def test_fewer_outputs_are_taken_from_a_file_and_more_are_added(tmp_path):
    inputs, teacher = torch.randn(1, 3, 8, 8), Teacher()
    image_alone = opened(tmp_path, names=("image",))
    assert list(image_alone.get(digests(inputs), lambda: {"image": 2 * inputs})) == ["image"]
    ask(opened(tmp_path), teacher, inputs)
    assert teacher.num_runs == 1
    again = opened(tmp_path, names=("image",)).get(digests(inputs), lambda: pytest.fail("run again"))
    assert torch.equal(again["image"], 2 * inputs)


def test_a_damaged_file_is_made_again(tmp_path):
    inputs, teacher = torch.randn(1, 3, 8, 8), Teacher()
    ask(opened(tmp_path), teacher, inputs)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:40])
    ask(opened(tmp_path), teacher, inputs)
    ask(opened(tmp_path), teacher, inputs)
    assert teacher.num_runs == 2


def test_memory_and_disk_are_bounded(tmp_path):
    inputs, one = torch.randn(2, 3, 8, 8), 4 * (3 * 64 + 3)
    cache, teacher = opened(memory=one), Teacher()
    for _ in range(2):
        for each in inputs.split(1):
            ask(cache, teacher, each)
    assert teacher.num_runs == 3
    for each in inputs.split(1):
        ask(opened(tmp_path, memory=0, disk=one), teacher, each)
        cache = opened(tmp_path, memory=0, disk=0)
    ask(cache, teacher, inputs)
    assert len(list(tmp_path.iterdir())) == 2
    for each in torch.randn(2, 3, 8, 8).split(1):
        ask(cache, teacher, each)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_costs_nothing_but_the_cache(tmp_path, monkeypatch):
    lines: list[str] = []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gancompress.objectives.teacher_cache.write_atomically", full)
    cache, teacher, inputs = opened(tmp_path, memory=0, log=lines.append), Teacher(), torch.randn(2, 3, 8, 8)
    for _ in range(2):
        ask(cache, teacher, inputs)
    assert teacher.num_runs == 2
    assert len(lines) == 1
    assert "cannot be written ([Errno 28] No space left on device); training goes on" in lines[0]


@pytest.mark.parametrize("option", [{"copies": 4}, {"required": True}])
def test_options_without_room_are_refused(option):
    (name,) = option
    with pytest.raises(ConfigError, match=f"{name}: got it with memory_gib: 0 and disk_gib: 0, expected room in one"):
        TeacherCacheOptions(memory_gib=0, disk_gib=0, **option)
