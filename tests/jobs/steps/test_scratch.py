"""The baseline from scratch: as narrow as the budget says, and nothing of the teacher in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gancompress.errors import BudgetError, InputSizeError
from gancompress.jobs.outcome import Outcome
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build


def run(directory: Path, name: str, fill: float, **changes) -> Outcome:
    """A job whose teacher has the same number in every weight."""
    config = {"ngf": 8, "num_blocks": 1}
    teacher = Generator.from_module(build("resnet", config), "resnet", config)
    filled = {key: torch.full_like(tensor, fill) for key, tensor in teacher.state.items()}
    teacher.with_state(filled).save(directory / name / "given")
    step = {
        "kind": "scratch",
        "multiple": 2,
        "discriminator": {"family": "patchgan", "config": {"ndf": 4, "n_layers": 1}},
        "training": {"num_images": 8, "batch_size": 4, "preview_every": 0},
    }
    recipe = {
        "name": name,
        "task": "paired",
        "data": {"kind": "procedural", "image_size": 16, "num_images": {"train": 8, "test": 2}},
        "teacher": {"checkpoint": str(directory / name / "given")},
        "budget": {"reduction": 4},
        "exports": [],
        **changes,
        "steps": [{**step, **changes.get("step", {})}],
    }
    recipe.pop("step", None)
    path = directory / f"{name}.yaml"
    path.write_text(json.dumps(recipe))
    return Pipeline(load_job(str(path)), directory / name, lambda _: None).run()


@pytest.mark.parametrize("task", ["paired", "unpaired"])
def test_it_meets_the_budget_and_owes_the_teacher_nothing(tmp_path, task):
    outcomes = [run(tmp_path, f"run{fill}", fill, task=task) for fill in (0.1, 0.2)]
    states = [outcome.compressed.generator.state for outcome in outcomes]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert outcomes[0].compressed.generator.family == "resnet"
    before, after = outcomes[0].teacher.cost.macs.true, outcomes[0].compressed.cost.macs.true
    assert before / 8 < after <= before / 4


def test_another_architecture_and_a_fraction(tmp_path):
    step = {"network": {"family": "mobile_resnet_6blocks", "config": {"ngf": 8}}, "keep": 0.5}
    compressed = run(tmp_path, "run", 0.1, budget=None, step=step).compressed.generator
    assert (compressed.family, compressed.config["ngf"]) == ("mobile_resnet_6blocks", 4)


def test_a_budget_out_of_reach(tmp_path):
    with pytest.raises(BudgetError):
        run(tmp_path, "run", 0.1, budget={"macs": 10.0})


def test_images_too_small_for_the_discriminator(tmp_path):
    step = {"discriminator": {"family": "patchgan", "config": {"ndf": 4}}}
    with pytest.raises(InputSizeError, match=r"patchgan: got an image of 16x16 .* at least 24 px"):
        run(tmp_path, "run", 0.1, step=step)
