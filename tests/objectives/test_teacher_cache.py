"""Kept outputs of a teacher: exact, bounded, and refused where they cannot help."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from gancompress.data import parse_data
from gancompress.errors import ConfigError
from gancompress.jobs.steps import Distill, Slim
from gancompress.objectives.teacher_cache import TeacherCache, TeacherCacheOptions, digests, open_teacher_cache
from gancompress.tasks import LatentTask, find_task
from gancompress.training import TrainingOptions
from tests.jobs.steps.small_work import distillation, make_surroundings, make_work

GIB = 2**30
OFF = TeacherCacheOptions(memory_gib=0)


class Teacher:
    """Doubles its input, and counts the batches that it ran."""

    def __init__(self) -> None:
        self.num_runs = 0

    def run(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        self.num_runs += 1
        return 2 * inputs, inputs.mean((2, 3))


def ask(cache: TeacherCache, teacher: Teacher, inputs: Tensor) -> tuple[Tensor, ...]:
    outputs = cache.get(digests(inputs), lambda: teacher.run(inputs))
    assert torch.equal(outputs[0], 2 * inputs)
    assert torch.equal(outputs[1], inputs.mean((2, 3)))
    return outputs


def test_equal_inputs_have_equal_digests_and_others_do_not():
    inputs = torch.randn(3, 3, 4, 4)
    again = torch.stack([inputs[2], inputs[0], inputs[0].flip(-1)])
    first, second = digests(inputs), digests(again)
    assert (second[0], second[1]) == (first[2], first[0])
    assert len({*first, second[2]}) == 4


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_batch_of_known_inputs_does_not_run_the_teacher(tmp_path, place):
    options = TeacherCacheOptions(memory_gib=float(place == "memory"), disk_gib=float(place == "disk"))
    cache, teacher, inputs = TeacherCache(options, tmp_path, print), Teacher(), torch.randn(4, 3, 8, 8)
    ask(cache, teacher, inputs[:2])
    ask(cache, teacher, inputs[:2].flip(0))
    assert teacher.num_runs == 1
    ask(cache, teacher, inputs[1:3])
    assert teacher.num_runs == 2
    ask(cache, teacher, inputs[[0, 2]])
    assert teacher.num_runs == 2
    if place == "disk":
        ask(TeacherCache(options, tmp_path, print), teacher, inputs[[2, 1]])
        assert teacher.num_runs == 2


def test_memory_is_bounded(tmp_path):
    inputs = torch.randn(2, 3, 8, 8)
    bound = 4 * (3 * 64 + 3) / GIB
    cache, teacher = TeacherCache(TeacherCacheOptions(memory_gib=bound), tmp_path, print), Teacher()
    for _ in range(2):
        for each in inputs.split(1):
            ask(cache, teacher, each)
    assert teacher.num_runs == 3
    assert not list(tmp_path.iterdir())


def test_a_full_disk_costs_nothing_but_the_cache(tmp_path, monkeypatch):
    lines: list[str] = []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gancompress.objectives.teacher_cache.write_atomically", full)
    cache = TeacherCache(TeacherCacheOptions(memory_gib=0, disk_gib=1), tmp_path / "outputs", lines.append)
    teacher, inputs = Teacher(), torch.randn(2, 3, 8, 8)
    for _ in range(2):
        ask(cache, teacher, inputs)
    assert teacher.num_runs == 2
    assert len(lines) == 1
    assert "cannot be written ([Errno 28] No space left on device); training goes on" in lines[0]


PROCEDURAL = {"kind": "procedural", "image_size": 16, "num_images": {"train": 4, "test": 1}}
CROPPED = {"kind": "images", "transform": {"resize": "shorter", "load_size": 20, "crop_size": 16}}


PAIRED = find_task("paired")


def opened(options: TeacherCacheOptions, tmp_path, data=PROCEDURAL, task=PAIRED, size=GIB // 8, log=print):
    return open_teacher_cache(options, size, parse_data(data), task, tmp_path / "outputs", log)


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({}, {"size": GIB}, r"the teacher's outputs need 4.00 GiB, more than .*; expected disk_gib: 4.0"),
        ({}, {"data": CROPPED}, r"inputs never repeat \(random crops or noise\); expected no random crop"),
        ({}, {"task": LatentTask()}, "inputs never repeat"),
    ],
)
def test_what_cannot_be_kept_is_refused_where_it_is_required(tmp_path, options, changes, message):
    with pytest.raises(ConfigError, match="teacher_cache: .*" + message):
        opened(TeacherCacheOptions(required=True, **options), tmp_path, **changes)
    lines: list[str] = []
    assert opened(TeacherCacheOptions(memory_gib=2, **options), tmp_path, **changes, log=lines.append) is None
    assert len(lines) == 1


def test_too_little_disk_is_said_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=GIB // 4))
    with pytest.raises(
        ConfigError, match=r"got 0.25 GiB free on the disk of .*, expected 0.50 GiB .*; free some .*disk_gib: 0"
    ):
        opened(TeacherCacheOptions(memory_gib=0, disk_gib=1), tmp_path)
    assert opened(TeacherCacheOptions(), tmp_path) is not None
    assert opened(OFF, tmp_path) is None


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_with_kept_outputs_changes_no_bit(tmp_path, precision):
    training = TrainingOptions(num_images=24, batch_size=2, precision=precision, checkpoint_every=24, preview_every=0)
    found = []
    for name, cache in (("kept", TeacherCacheOptions()), ("run", OFF)):
        step = Distill(keep=0.5, multiple=1, training=training, teacher_cache=cache)
        found.append(step.run(make_work(), *make_surroundings(tmp_path / name, None)).generator.state)
    kept, run = found
    assert all(torch.equal(kept[name], run[name]) for name in run)


def test_stopping_and_resuming_with_kept_outputs_changes_no_bit(tmp_path):
    training = TrainingOptions(num_images=24, batch_size=2, checkpoint_every=8, preview_every=0)
    step = Distill(keep=0.5, multiple=1, training=training)
    whole = step.run(make_work(), *make_surroundings(tmp_path / "whole", None)).generator.state
    first = step.model_copy(update={"training": training.model_copy(update={"num_images": 8})})
    first.run(make_work(), *make_surroundings(tmp_path / "parts", None))
    resumed = step.run(make_work(), *make_surroundings(tmp_path / "parts", None)).generator.state
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_slimming_takes_kept_outputs(tmp_path, monkeypatch):
    asked: list[int] = []
    get = TeacherCache.get
    monkeypatch.setattr(TeacherCache, "get", lambda *given: (asked.append(1), get(*given))[1])
    training = TrainingOptions(num_images=4, batch_size=2, preview_every=0)
    step = Slim(distillation=distillation(l1=100, reconstruct="teacher"), training=training, steer=False, penalty=0)
    step.run(make_work(), *make_surroundings(tmp_path, None))
    assert len(asked) == 2
