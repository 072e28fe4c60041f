"""The distillation objective against its formula, for one student and for a supernet."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gancompress.channels import trace
from gancompress.errors import ConfigError
from gancompress.models.families import build
from gancompress.steps.distillation import Distillation, DistillationOptions
from gancompress.steps.students import FixedStudent, SupernetStudent, tapped
from gancompress.tasks import TASKS

TAPS = ("down.1", "blocks.1")


@pytest.fixture
def networks():
    torch.manual_seed(0)
    teacher = build("resnet", {"ngf": 6, "num_blocks": 3}).eval()
    student = build("resnet", {"ngf": 4, "num_blocks": 3})
    discriminator = build("patchgan", {"ndf": 4, "n_layers": 1, "in_channels": 6})
    return teacher, student, discriminator


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return {"input": torch.randn(2, 3, 16, 16).tanh(), "target": torch.randn(2, 3, 16, 16).tanh()}


def objective(networks, options: DistillationOptions, task: str = "paired") -> Distillation:
    teacher, student, discriminator = networks
    example = torch.zeros(1, 3, 16, 16)
    return Distillation(TASKS[task], teacher, FixedStudent(student), discriminator, options, TAPS, example)


def test_terms(networks, batch):
    teacher, student, discriminator = networks
    game = objective(networks, DistillationOptions(lambda_gan=2, lambda_reconstruction=10, lambda_features=3))
    made = game.forward(batch, 0)
    terms = game.phases[1].loss(batch, made)
    image = student(batch["input"])
    logits = discriminator(torch.cat([batch["input"], image], 1))
    assert terms["gan"].item() == pytest.approx(-2 * logits.mean().item(), rel=1e-5)
    assert terms["reconstruction"].item() == pytest.approx(10 * (image - batch["target"]).abs().mean().item(), rel=1e-5)
    with tapped(teacher, TAPS) as wanted, tapped(student, TAPS) as got:
        teacher(batch["input"])
        student(batch["input"])
    adaptors = game.modules["features"].adaptors
    distance = sum(F.mse_loss(a(got[tap]), wanted[tap]) for a, tap in zip(adaptors, TAPS, strict=True))
    assert terms["features"].item() == pytest.approx(3 * distance.item(), rel=1e-5)


def test_pseudo_pairs(networks, batch):
    teacher, student, _ = networks
    for task, options in (
        ("unpaired", DistillationOptions(lambda_gan=0, lambda_features=0)),
        ("paired", DistillationOptions(lambda_gan=0, lambda_features=0, reconstruct="teacher")),
    ):
        game = objective(networks, options, task)
        (phase,) = game.phases
        terms = phase.loss(batch, game.forward(batch, 0))
        expected = 100 * (student(batch["input"]) - teacher(batch["input"])).abs().mean()
        assert set(terms) == {"reconstruction"}
        assert terms["reconstruction"].item() == pytest.approx(expected.item(), rel=1e-5)
        assert set(game.modules) == {"student"}


def test_a_supernet_draws_the_same_plan_for_the_same_position(networks, batch):
    teacher, student, discriminator = networks
    graph = trace(student, (batch["input"],), multiple=1, minimum=2)
    plans = []

    def sample(rng: torch.Generator):
        keep = torch.rand((), generator=rng).item()
        plans.append(graph.uniform_plan(keep))
        return plans[-1]

    supernet = SupernetStudent(student, graph, sample, seed=5)
    game = Distillation(
        TASKS["paired"], teacher, supernet, discriminator, DistillationOptions(), TAPS, torch.zeros(1, 3, 16, 16)
    )
    first, again, other = (game.forward(batch, n).student_image for n in (0, 0, 8))
    assert torch.equal(first, again)
    assert plans[0] == plans[1] != plans[2]
    assert not torch.equal(first, other)
    game.phases[1].loss(batch, game.forward(batch, 0))["features"].backward()
    assert student.stem.conv.weight.grad[plans[0].widths["stem.conv"] :].abs().sum() == 0
    assert student.stem.conv.weight.grad[: plans[0].widths["stem.conv"]].abs().sum() > 0
    shown = supernet.shown(student)
    assert set(shown) == {"widest", "narrowest"}
    assert torch.equal(shown["widest"](batch["input"]), student(batch["input"]))


def test_taps_that_do_not_exist_name_the_nearest(networks):
    with pytest.raises(ConfigError, match=r"taps: got 'down.7', expected a module of the network; did you mean 'down"):
        objective(networks, DistillationOptions(taps=("down.7",)))
