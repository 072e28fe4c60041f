"""A student of other layers than its teacher's, and one whose width a budget in milliseconds decides."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gancompress.deploy.latency import Target
from gancompress.errors import ConfigError
from gancompress.jobs.steps import Distill
from gancompress.jobs.steps.teacher import NetworkOptions
from gancompress.methods.budget import CostLimit
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.training import TrainingOptions
from tests.jobs.steps.small_work import distillation, make_surroundings, make_work

TRAINING = TrainingOptions(num_images=4, num_decay_images=0, batch_size=2, checkpoint_every=4, log_every=2)
FAST = {"ngf": 8, "num_blocks": 1, "norm": "batch", "padding": "zeros", "stem_kernel": 3, "tail": "half_size"}


def test_a_student_of_other_layers_learns_and_shares_the_layers_that_are_alike(tmp_path):
    work = make_work()
    step = Distill(student=NetworkOptions(family="resnet", config=FAST), keep=1.0, training=TRAINING)
    begun = step.model_copy(update={"training": TRAINING.model_copy(update={"num_images": 0})})
    found = begun.run(work, *make_surroundings(tmp_path / "begun", None)).generator
    teacher = work.teacher.state
    alike = [name for name, tensor in found.state.items() if name in teacher and teacher[name].shape == tensor.shape]
    assert {"down.0.conv.weight", "down.1.conv.weight", "blocks.0.conv1.weight"} <= set(alike)
    assert not {"stem.conv.weight", "head.conv.weight"} & set(alike)
    for name in ("down.0.conv.weight", "blocks.0.conv1.weight"):
        assert sorted(found.state[name].flatten().tolist()) == sorted(teacher[name].flatten().tolist())
    learned = step.run(work, *make_surroundings(tmp_path / "learned", None)).generator
    assert learned.config["tail"] == "half_size"
    assert not torch.equal(learned.state["head.conv.weight"], found.state["head.conv.weight"])


def test_a_budget_in_milliseconds_decides_the_width_and_the_student_is_measured(tmp_path, monkeypatch):
    def weights(modules, shapes, target, say=print):
        return [1.0 + sum(p.numel() for p in module.parameters()) / 1e3 for module in modules]

    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gancompress.deploy.latency.learn.times_of", weights)
    monkeypatch.setattr("gancompress.methods.costs.measure_network", lambda generator, example, target: 7.5)
    budget = CostLimit(20.0, "latency", Target("eager", 1))
    work = make_work()
    found = Distill(training=TRAINING).run(work, *make_surroundings(tmp_path / "student", budget))
    latency = found.facts["latency"]
    assert 0 < latency["predicted_ms"] <= 20.0
    assert (latency["measured_ms"], latency["budget_ms"]) == (7.5, 20.0)
    assert found.generator.num_parameters < work.teacher.num_parameters


def test_without_an_adversarial_term_the_discriminator_is_handed_on_as_it_was(tmp_path):
    work = make_work()
    step = Distill(keep=0.5, training=TRAINING, distillation=distillation(l1=100, features=1))
    assert step.run(work, *make_surroundings(tmp_path / "one", None)).discriminator is work.discriminator
    assert (
        step.run(replace(work, discriminator=None), *make_surroundings(tmp_path / "none", None)).discriminator is None
    )


def test_a_discriminator_that_does_not_fit_is_refused_before_training(tmp_path):
    config = {"ndf": 4, "n_layers": 1, "in_channels": 3}
    wrong = Generator.from_module(build("patchgan", config), "patchgan", config)
    with pytest.raises(ConfigError, match=r"discriminator: got a patchgan of 3 input channels, expected 6 .* inherit"):
        Distill(keep=0.5, training=TRAINING).run(
            replace(make_work(), discriminator=wrong), *make_surroundings(tmp_path, None)
        )


def test_a_student_of_another_depth_imitates_the_maps_of_the_same_size(tmp_path, monkeypatch):
    work = make_work()
    inputs, run, goal = make_surroundings(tmp_path, None)
    said: list[str] = []
    monkeypatch.setattr(run.log, "said", said.append)
    student = NetworkOptions(family="resnet", config={**FAST, "num_blocks": 2})
    step = Distill(student=student, keep=1.0, training=TRAINING, distillation=distillation(l1=100, features=1))
    assert step.run(work, inputs, run, goal).generator.config["num_blocks"] == 2
    assert said == [
        "feature maps compared: down.1=blocks.0, blocks.0=blocks.1, chosen automatically; name others in "
        "distillation.taps"
    ]
