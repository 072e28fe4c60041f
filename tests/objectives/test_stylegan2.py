"""A StyleGAN2 student with the regularisers of its teacher: what both share, and the order of updates."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.jobs.steps import Finetune
from gancompress.networks.families.stylegan2 import StyleGan2Generator
from gancompress.networks.registry import build
from gancompress.objectives.students import FixedStudent
from gancompress.objectives.stylegan2 import StyleGan2Distillation
from gancompress.objectives.supervision import Supervision
from gancompress.tasks import StyleGan2Options
from gancompress.training import OptimizerOptions, TrainingOptions
from tests.jobs.steps.small_work import distillation, make_surroundings, make_work
from tests.tasks.small_stylegan2 import BATCH, SIZE, TASK, batch, trained
from tests.training.toy import Log

PLAIN = {"l1": 3, "gan": {"form": "vanilla", "balance": None, "real": "target"}}


def generator(seed: int) -> StyleGan2Generator:
    torch.manual_seed(seed)
    network = build("stylegan2", {**SIZE, "latent_size": 6})
    assert isinstance(network, StyleGan2Generator)
    return network


def objective(student: nn.Module | None = None, regularisers: dict | None = None, **options) -> StyleGan2Distillation:
    teacher, judge = generator(0).eval(), build("stylegan2_discriminator", SIZE)
    weights, student = distillation(**{**PLAIN, **options}), student or generator(1)
    learned = TASK, FixedStudent(student), Supervision(teacher, judge, weights), torch.zeros(1, 6)
    return StyleGan2Distillation(*learned, StyleGan2Options(**regularisers or {}), BATCH)


def test_terms():
    made_of = objective(regularisers={"style_mixing": 0.0})
    assert [phase.name for phase in made_of.phases] == [
        "discriminator",
        "discriminator_r1",
        "generator",
        "generator_path",
    ]
    given = batch()
    made, judge = made_of.forward(given, 0), made_of.modules["discriminator"]
    phases = {phase.name: phase for phase in made_of.phases}
    real, fake = judge(given["target"]), judge(made.student.image)
    loss = phases["discriminator"].loss(given, made)["gan"]
    assert loss.item() == pytest.approx((F.softplus(-real) + F.softplus(fake)).mean().item())
    terms = phases["generator"].loss(given, made)
    assert terms["gan"].item() == pytest.approx(F.softplus(-fake).mean().item())
    gap = (made.student.image - made.teacher.image).abs().mean()
    assert terms["l1"].item() == pytest.approx(3 * gap.item())


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_teacher_and_student_share_noise_and_mixed_styles(share):
    teacher = generator(0)
    made_of = objective(copy.deepcopy(teacher), {"style_mixing": share})
    for position in range(0, 20, BATCH):
        made = made_of.forward(batch(position), position)
        assert torch.equal(made.student.image, made.teacher.image)
    torch.manual_seed(5)
    mixed = made_of.forward(batch(), 0).teacher.image
    torch.manual_seed(5)
    drawn = made_of._drawn(batch()["input"])
    assert (drawn["mixed_with"] is not None) == bool(share)
    assert torch.equal(mixed, teacher(batch()["input"], **drawn))
    assert torch.equal(mixed, teacher(batch()["input"], drawn["noise"])) != bool(share)


def test_the_generator_learns_from_the_updated_discriminator():
    """Within one step, by plain gradient descent in the place of Adam."""
    made_of = objective(regularisers={"r1": 0.0, "path_length": 0.0})
    judge = made_of.modules["discriminator"]
    made = made_of.forward(batch(), 0)
    judged, learned = made_of.phases
    before = learned.loss(batch(), made)["gan"].item()
    judged.loss(batch(), made)["gan"].backward()
    with torch.no_grad():
        for parameter in judge.parameters():
            parameter -= 0.1 * parameter.grad
    after = learned.loss(batch(), made)["gan"].item()
    assert after != before
    assert after == pytest.approx(F.softplus(-judge(made.student.image)).mean().item())


def test_regularisers_come_at_some_of_the_steps():
    made_of = objective(regularisers={"r1_every": 4, "path_length_every": 2})
    phases = {phase.name: phase for phase in made_of.phases}
    for step in range(6):
        made = made_of.forward(batch(), step * BATCH)
        assert bool(phases["discriminator_r1"].loss(batch(), made)) == (step % 4 == 0)
        assert bool(phases["generator_path"].loss(batch(), made)) == (step % 2 == 0)


def test_optimizers_follow_the_regularisers():
    made_of = objective(regularisers={"r1_every": 16, "path_length_every": 4})
    options = TrainingOptions(optimizer=OptimizerOptions(learning_rate=0.002, betas=(0.0, 0.99)))
    made = {phase.name: made_of.optimizers(phase, options) for phase in made_of.phases}
    assert made["discriminator_r1"]["discriminator"] is made["discriminator"]["discriminator"]
    assert made["generator_path"]["generator"] is made["generator"]["generator"]
    for name, ratio in (("discriminator", 16 / 17), ("generator", 4 / 5)):
        (group,) = made[name][name].param_groups
        assert group["lr"] == pytest.approx(0.002 * ratio)
        assert group["betas"] == pytest.approx((0.0, 0.99**ratio))


def test_without_a_discriminator_the_path_length_is_left():
    made_of = objective(gan=0)
    assert [phase.name for phase in made_of.phases] == ["generator", "generator_path"]
    assert set(made_of.phases[0].loss(batch(), made_of.forward(batch(), 0))) == {"l1"}


def train(directory: Path, log: Log | None = None, **others) -> dict[str, Tensor]:
    regularisers = {"r1_every": 2, "path_length_every": 3, "augmentation": {"images_to_full": 64}}
    return trained(objective(regularisers=regularisers), directory, log, **others)


def test_stopping_and_resuming_changes_no_bit(tmp_path):
    log = Log()
    straight = train(tmp_path / "a", log)
    assert {"discriminator_r1/r1", "generator_path/path_length", "generator/l1"} <= log.lines[0][1].keys()
    steps = iter(range(1, 100))
    stopped = train(tmp_path / "b", stop=lambda: next(steps) == 3)
    resumed = train(tmp_path / "b")
    assert all(torch.equal(resumed[name], straight[name]) for name in straight)
    assert any(not torch.equal(stopped[name], straight[name]) for name in straight)


def test_what_does_not_fit(tmp_path):
    with pytest.raises(ConfigError, match="got a SnganGenerator as student, expected a generator with styles; leave"):
        objective(build("sngan_32", {"ngf": 4, "latent_size": 6}))
    with pytest.raises(ConfigError, match="stylegan2: got a term on maps of the discriminator, expected none"):
        objective(feature_matching={"weight": 1})
    step = Finetune(stylegan2=StyleGan2Options(), training=TrainingOptions(batch_size=4, micro_batches=2))
    with pytest.raises(ConfigError, match="finetune: training: got micro_batches 2, expected 1 for a StyleGAN2"):
        step.run(make_work(), *make_surroundings(tmp_path, None))
