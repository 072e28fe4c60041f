"""Training with kept outputs of a teacher: in jobs and in Python, the same bits whether stopped or not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gancompress as gc
from gancompress.errors import ConfigError
from gancompress.jobs.steps import Distill, Finetune, Slim, Supernet
from gancompress.losses import L1
from gancompress.methods import teacher_outputs, teacher_trial
from gancompress.objectives.teacher_cache import TeacherCacheOptions
from gancompress.tasks import find_task
from gancompress.training import TrainingOptions
from tests.jobs.steps.small_work import distillation, make_surroundings, make_work

OFF = TeacherCacheOptions(memory_gib=0, disk_gib=0)
COPIES = TeacherCacheOptions(copies=1)
TERMS = distillation(l1=100, reconstruct="teacher")


@pytest.fixture
def runs(monkeypatch):
    """Counts the inputs that the teacher ran on, without the trial."""
    counted: list[int] = []
    run = teacher_outputs.Distillation._run

    def count(self, running, given, *others):
        if running.network is self.frozen["teacher"] and given.shape[0] > 1:
            counted.append(len(given))
        return run(self, running, given, *others)

    monkeypatch.setattr(teacher_outputs.Distillation, "_run", count)
    return counted


def training(num_images=24, **options) -> TrainingOptions:
    return TrainingOptions(num_images=num_images, batch_size=2, checkpoint_every=8, preview_every=0, **options)


def cropped(tmp_path, stop=lambda: False):
    """Surroundings of a step on random crops: 8 training images."""
    around = make_surroundings(tmp_path, None, stop=stop, task=find_task("imitate"))
    data = around.inputs.data
    object.__setattr__(data, "num_views", lambda: None)
    return around


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_with_outputs_in_memory_changes_no_bit(tmp_path, precision):
    found = []
    for name, cache in (("kept", TeacherCacheOptions()), ("run", OFF)):
        step = Distill(keep=0.5, multiple=1, training=training(precision=precision), teacher_cache=cache)
        found.append(step.run(make_work(), *make_surroundings(tmp_path / name, None)).generator.state)
    kept, run = found
    assert all(torch.equal(kept[name], run[name]) for name in run)


@pytest.mark.parametrize(
    "step",
    [
        Distill(keep=0.5, multiple=1, distillation=TERMS, training=training(), teacher_cache=COPIES),
        Supernet(distillation=TERMS, training=training(), teacher_cache=COPIES),
        Finetune(distillation=TERMS, training=training(), teacher_cache=COPIES),
        Slim(distillation=TERMS, training=training(), teacher_cache=COPIES, steer=False, penalty=0),
    ],
    ids=lambda step: step.kind,
)
def test_every_step_that_trains_keeps_copies_on_disk(tmp_path, runs, step):
    step.run(make_work(), *cropped(tmp_path))
    assert sum(runs) == 8
    assert len(list((tmp_path / "teacher_outputs").glob("*/*.safetensors"))) == 8


def test_stopping_with_copies_changes_no_bit(tmp_path, runs):
    step = Distill(keep=0.5, multiple=1, distillation=TERMS, training=training(), teacher_cache=COPIES)
    whole = step.run(make_work(), *cropped(tmp_path / "whole")).generator.state
    first = step.model_copy(update={"training": training(16)})
    first.run(make_work(), *cropped(tmp_path / "parts"))
    for checkpoint in sorted((tmp_path / "parts" / "checkpoints").iterdir())[1:]:
        checkpoint.unlink()  # as if killed after 16 images, with the checkpoint of 8
    resumed = step.run(make_work(), *cropped(tmp_path / "parts")).generator.state
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert sum(runs) == 16


def test_a_slow_teacher_is_found_by_a_trial_and_its_outputs_serve_the_next_step(tmp_path, runs, monkeypatch):
    made: list[int] = []
    monkeypatch.setattr(teacher_trial, "LEAST_PASSES", 1)
    monkeypatch.setattr(teacher_outputs, "_timed", lambda run: (run() or {}, made.append(1) or 1.0 / len(made)))
    steps = [Distill(keep=0.5, multiple=1, distillation=TERMS, training=training(32))]
    steps.append(steps[0].model_copy(update={"training": training(34)}))
    for number, step in enumerate(steps):
        inputs, run, goal = cropped(tmp_path / str(number))
        object.__setattr__(run, "job_directory", tmp_path)
        step.run(make_work(), inputs, run, goal)
    assert sum(runs) == 8  # the pictures of the procedural data are the same in every epoch
    assert (tmp_path / "0" / teacher_outputs.CHOICE_FILE).is_file()


def test_outputs_of_another_teacher_are_removed(tmp_path):
    step = Finetune(distillation=TERMS, training=training(16), teacher_cache=COPIES)
    folders = []
    for number, norm in enumerate(("instance", "batch")):
        inputs, run, goal = cropped(tmp_path / str(number))
        object.__setattr__(run, "job_directory", tmp_path)
        lines: list[str] = []
        object.__setattr__(run.log, "said", lines.append)
        step.run(make_work(norm), inputs, run, goal)
        folders.append([path.name for path in (tmp_path / "teacher_outputs").iterdir()])
        assert any("held outputs of another teacher" in line for line in lines) is (number == 1)
    assert len(folders[1]) == 1
    assert folders[0] != folders[1]


def noisy():
    """Batches with new random images in every pass."""
    return [torch.rand(2, 3, 8, 8) for _ in range(4)]


def python_distill(**options):
    torch.manual_seed(0)
    teacher, student = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
    options = {"terms": [L1(1)], "progress": False, **options}
    return gc.distill(student, teacher, options.pop("data", noisy), **options).module.state_dict()


def test_python_resumes_with_copies_and_refuses_other_ones(tmp_path, runs):
    cache = {"copies": 2}
    whole = python_distill(images=48, teacher_cache=cache, out=tmp_path / "whole")
    assert sum(runs) == 16
    python_distill(images=24, teacher_cache=cache, out=tmp_path / "parts")
    resumed = python_distill(images=48, teacher_cache=cache, out=tmp_path / "parts")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(ConfigError, match=r"holds another run \(teacher_cache: "):
        python_distill(images=48, out=tmp_path / "parts")


def test_lists_of_batches_are_kept_in_memory_by_default(runs):
    data = noisy()
    kept = python_distill(images=32, data=data)
    assert sum(runs) == 8
    run = python_distill(images=32, data=data, teacher_cache={"memory_gib": 0, "disk_gib": 0})
    assert sum(runs) == 8 + 32
    assert all(torch.equal(kept[name], run[name]) for name in run)
