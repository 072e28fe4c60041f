"""Frozen norms as a step."""

from __future__ import annotations

import pytest
import torch

from gancompress.errors import ConfigError
from gancompress.jobs.steps import FreezeNorms
from tests.jobs.steps.small_work import make_surroundings, make_work


def test_the_step_says_what_it_costs(tmp_path):
    work, around = make_work(), make_surroundings(tmp_path, None)
    done = FreezeNorms(num_images=8).run(work, *around)
    assert done.generator.config["norm"] == "frozen"
    assert done.teacher is work.teacher
    given = torch.cat([around.inputs.task.encode(batch["input"]) for batch in around.inputs.images("search", 6)])
    with torch.no_grad():
        difference = done.build()(given) - work.build()(given)
    assert done.facts["mean_difference"] == pytest.approx(float(difference.abs().mean()), rel=1e-4)
    assert done.facts["note"].startswith("7 instance norms frozen: PSNR to the network before ")


def test_what_cannot_be_frozen_is_said(tmp_path):
    around = make_surroundings(tmp_path, None)
    assert FreezeNorms(num_images=9).least_images == 9
    with pytest.raises(ConfigError, match=r"got resnet, no instance norms; expected .* of one of resnet_6blocks, "):
        FreezeNorms(num_images=8).run(make_work("batch"), *around)
