"""Refit as a step and as part of pruning: behind every step that cuts, and from the files that a run left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gancompress.data import parse_data
from gancompress.errors import ConfigError, RefitError
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.jobs.steps import Goal, Prune, Search, Work
from gancompress.jobs.steps.refit import Refit
from gancompress.methods.budget import CostLimit
from gancompress.networks.generator import Generator
from tests.data.pictures import save_many
from tests.jobs.steps.small_work import Surroundings, macs_of, make_surroundings, make_work, same_weights
from tests.jobs.steps.test_slim import NETWORKS, SLIM, job

ALL = {"num_images": 16, "crop_px": None}


def larger(directory: Path) -> Surroundings:
    """What surrounds a step, with enough images of enough pixels."""
    data = {"kind": "procedural", "image_size": 32, "num_images": {"train": 16, "search": 6, "test": 2}}
    around = make_surroundings(directory, None)
    return around._replace(inputs=replace(around.inputs, data=parse_data(data)))


def distance(work: Work, around: Surroundings) -> float:
    """Mean squared distance to the teacher, on images that took no part."""
    given = torch.cat([around.inputs.task.encode(batch["input"]) for batch in around.inputs.images("search", 6)])
    with torch.no_grad():
        return (work.build()(given) - work.teacher.build()(given)).square().mean().item()


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_pruning_with_a_refit_is_pruning_and_then_the_step(tmp_path, norm):
    work, around = make_work(norm), larger(tmp_path)
    left_out = ("blocks.0",) if norm == "batch" else ()
    pruned = Prune(keep=0.5, left_out=left_out).run(work, *around)
    apart = Refit(**ALL).run(pruned, *around)
    together = Prune(keep=0.5, left_out=left_out, refit=ALL).run(work, *around)
    assert distance(together, around) < 0.7 * distance(pruned, around)
    assert together.facts["note"] == apart.facts["note"]
    assert together.facts["note"].endswith("layers refitted")
    assert len(apart.facts["refit"]["layers"]) == (6 if left_out else 8)
    if norm == "instance":  # the step begins with statistics that were computed behind the cut
        assert same_weights(together.generator, apart.generator)
    assert apart.teacher is work.teacher


def test_a_network_that_was_not_cut(tmp_path):
    message = r"refit: got a network that was not pruned, or was trained since, .*; place refit directly after prune"
    with pytest.raises(ConfigError, match=message):
        Refit().run(make_work(), *larger(tmp_path))


def test_too_few_images(tmp_path):
    work, around = make_work(), larger(tmp_path)
    pruned = Prune(keep=0.5).run(work, *around)
    with pytest.raises(
        RefitError, match=r"refit: got 2 inputs, which give 'blocks.0.conv1' 128 equations .* at least 3"
    ):
        Refit(num_images=2, crop_px=None).run(pruned, *around)


def test_too_few_images_are_noticed_before_the_network_is_trained(tmp_path):
    work, around = make_work(), larger(tmp_path)
    few, enough = ({"num_images": number, "crop_px": None} for number in (2, 3))
    message = (
        r"refit: num_images: got 2 images to refit resnet on, expected at least 3, .*; raise num_images, give more"
    )
    with pytest.raises(RefitError, match=message):
        Prune(keep=0.5, refit=few).check_network(work.teacher, *around)
    Prune(keep=0.5, refit=enough).check_network(work.teacher, *around)
    Prune(keep=0.5).check_network(work.teacher, *around)
    Prune(keep=0.5, refit=few, left_out=["blocks.0"]).check_network(work.teacher, *around)


def test_a_generator_from_noise_with_too_few_images_is_refused_before_its_training(tmp_path):
    save_many(tmp_path / "images" / "train", 40, height=16, width=16)
    save_many(tmp_path / "images" / "test", 4, first=50, height=16, width=16)
    training = {"num_images": 8, "batch_size": 4, "preview_every": 0}
    recipe = {
        "name": "noise",
        "task": "latent",
        "data": {"kind": "images", "root": str(tmp_path / "images"), "transform": {"load_size": 16, "crop_size": 16}},
        "teacher": {
            "train": {
                "network": {"family": "sngan", "config": {"ngf": 8, "num_blocks": 2}},
                "discriminator": {"family": "sngan_discriminator", "config": {"ndf": 4, "num_plain": 1}},
                "training": training,
            }
        },
        "steps": [{"kind": "prune", "keep": 0.5, "multiple": 1, "refit": {}}],
        "metrics": {"against_real": [], "against_teacher": []},
        "exports": [],
    }
    path = tmp_path / "noise.yaml"
    path.write_text(json.dumps(recipe))
    said: list[str] = []
    message = r"^refit: num_images: got 3\d images to refit sngan on, expected at least \d+, .*leave refit out$"
    with pytest.raises(RefitError, match=message):
        Pipeline(load_job(str(path)), tmp_path / "run", said.append).run()
    assert not list((tmp_path / "run").rglob("*.safetensors"))
    assert not list((tmp_path / "run").rglob("losses.jsonl"))


def test_behind_slimming_and_from_files(tmp_path):
    refit = {"kind": "refit", "num_images": 16, "crop_px": None}
    given = job(tmp_path, NETWORKS["own scales"], SLIM, refit, budget={"reduction": 1.5})
    straight = Pipeline(given, tmp_path / "run", lambda _: None).run()
    record = straight.records[-1]
    assert (record["kind"], record["note"][-16:]) == ("refit", " layers refitted")
    uncut = Generator.load(tmp_path / "run" / "steps" / straight.records[-2]["directory"] / "uncut")
    assert uncut.num_parameters > straight.compressed.generator.num_parameters
    fitted = {layer["name"]: layer for layer in record["refit"]["layers"]}
    assert sum(layer["after"] for layer in fitted.values()) < sum(layer["before"] for layer in fitted.values())


def test_behind_a_search(tmp_path):
    work, around = make_work(), larger(tmp_path / "refit")
    step = Search(options={"method": "random_at_budget"}, calibration_batches=1)
    budget = CostLimit(0.7 * macs_of(work, around))
    found = step.run(work, around.inputs, replace(around.run, directory=tmp_path), Goal(budget, around.goal.metrics))
    fitted = Refit(**ALL).run(found, *around)
    assert found.uncut is work.generator
    assert distance(fitted, around) < distance(found, around)
