"""Online distillation: teachers that train as they would alone, and a student that learns from them in every step."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from gancompress.networks.registry import build
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.online import OnlineDistillation, OnlineTeacher
from gancompress.objectives.students import FixedStudent
from gancompress.objectives.supervision import Supervision
from gancompress.tasks import TeacherTraining, find_task
from gancompress.training import Batch, Checkpoints, Objective, TrainingOptions, fit
from tests.jobs.steps.small_work import distillation
from tests.training.toy import Log

BATCH = 2
TAPS = ("blocks.0",)


def batches(start: int, batch_size: int) -> Iterator[Batch]:
    """Batches that depend on nothing but the position."""
    while True:
        rng = torch.Generator().manual_seed(start)
        draws = torch.randn(2, batch_size, 3, 8, 8, generator=rng).tanh()
        yield {"input": draws[0], "target": draws[1]}
        start += batch_size


def resnet(width: int, seed: int, num_blocks: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return build("resnet", {"ngf": width, "num_blocks": num_blocks, "norm": "batch"})


def critic(task: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build("patchgan", {"ndf": 4, "n_layers": 1, "in_channels": 6 if task == "paired" else 3})


def training_of(task: str, seed: int = 0, num_blocks: int = 1) -> Objective:
    """The objective that trains a teacher alone."""
    fresh = lambda: (resnet(4, seed + 1), critic(task, seed + 3))  # noqa: E731
    networks = resnet(4, seed, num_blocks), critic(task, seed + 2), torch.zeros(1, 3, 8, 8), fresh
    return find_task(task).objective(TeacherTraining("test", *networks, (), TrainingOptions(num_images=8)))


def online(task: str, every: int = 1, deep: bool = False, rate: float | None = None, **terms) -> OnlineDistillation:
    student, example = FixedStudent(resnet(2, 9)), torch.zeros(1, 3, 8, 8)

    def taught(training: Objective, own: dict) -> OnlineTeacher:
        networks = training.modules["generator"], training.modules["discriminator"]
        supervision = Supervision(*networks, distillation(reconstruct="teacher", **own), TAPS)
        return OnlineTeacher(training, Distillation(find_task(task), student, supervision, example))

    teachers = {"teacher": taught(training_of(task), {"l1": 1, "features": 1, **terms})}
    if deep:
        teachers["deep"] = taught(training_of(task, 20, num_blocks=2), {"l1": 1})
    return OnlineDistillation(teachers, BATCH, every, rate)


def trained(objective: Objective, directory: Path, num_images: int = 8, stop_at: int | None = None) -> dict:
    log = Log()
    stop = lambda: stop_at is not None and len(log.positions) > stop_at  # noqa: E731
    options = TrainingOptions(num_images=num_images, batch_size=BATCH, ema_half_life=0, log_every=1)
    fit(objective, options, batches, Checkpoints(directory), Accelerator(cpu=True), log, stop=stop)
    return {f"{name}.{key}": t for name, each in objective.modules.items() for key, t in each.state_dict().items()}


@pytest.mark.parametrize("task", ["paired", "unpaired"])
def test_teachers_train_as_alone_and_every_is_their_rate(task, tmp_path):
    alone = trained(training_of(task), tmp_path / "alone")
    beside = trained(online(task), tmp_path / "beside")
    assert all(torch.equal(beside[f"teacher_{name}"], tensor) for name, tensor in alone.items())
    rare = trained(online(task, every=4), tmp_path / "rare")
    once = trained(training_of(task), tmp_path / "once", num_images=BATCH)
    for name, tensor in once.items():
        assert torch.equal(rare[f"teacher_{name}"], tensor), name
    student = [name for name in beside if name.startswith("student.") and name.endswith("weight")]
    assert student
    assert not all(torch.equal(beside[name], rare[name]) for name in student)


def test_teachers_may_have_a_learning_rate_of_their_own():
    game, options = (
        online("paired", deep=True, rate=1e-5),
        TrainingOptions(num_images=8, discriminator_learning_rate=3e-4),
    )
    made = [item for phase in game.phases for item in game.optimizers(phase, options).items()]
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in made}
    assert rates["student"] == options.optimizer.learning_rate == 2e-4
    assert rates["teacher_generator"] == rates["deep_generator"] == 1e-5
    assert rates["teacher_discriminator"] == rates["deep_discriminator"] == 3e-4


@pytest.mark.parametrize(("task", "options"), [("unpaired", {}), ("paired", {"deep": True, "gan": {"balance": None}})])
def test_a_stopped_run_ends_with_the_same_bits(task, options, tmp_path):
    whole = trained(online(task, **options), tmp_path / "whole")
    trained(online(task, **options), tmp_path / "stopped", stop_at=2)
    resumed = trained(online(task, **options), tmp_path / "stopped")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def test_terms_are_those_towards_the_teachers_before_their_update():
    game, batch = online("paired", deep=True, gan={"weight": 2, "balance": None}), next(batches(0, BATCH))
    modules = game.modules
    before = {name: copy.deepcopy(modules[f"{name}_generator"]).eval() for name in ("teacher", "deep")}
    made = game.forward(batch, 0)
    terms = game.phases[0].loss(batch, made)
    assert game.phases[0].modules == ("student", "teacher_features")
    assert terms.keys() == {"teacher_l1", "teacher_features", "teacher_gan", "deep_l1"}
    student = modules["student"](batch["input"])
    for name, teacher in before.items():
        assert terms[f"{name}_l1"].item() == pytest.approx((student - teacher(batch["input"])).abs().mean().item())
    logits = modules["teacher_discriminator"](torch.cat([batch["input"], student], 1))
    assert terms["teacher_gan"].item() == pytest.approx(-2 * logits.mean().item(), rel=1e-5)
    assert set(game.preview(batch, modules)) == {"input", "teacher", "deep", "student", "ground truth"}
