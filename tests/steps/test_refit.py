"""Refit as a step and as part of pruning: behind every step that cuts, and from the files that a run left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gancompress.data import parse_data
from gancompress.errors import ConfigError, RefitError
from gancompress.methods.budget import CostLimit
from gancompress.networks.generator import Generator
from gancompress.networks.registry import architecture_of
from gancompress.pipeline import Pipeline
from gancompress.steps import Context, Prune, Search, Work, cropped
from gancompress.steps.refit import Refit
from tests.steps.small_work import macs_of, make_context, make_work, same_weights
from tests.steps.test_slim import FAMILIES, SLIM, job

ALL = {"num_images": 16, "crop_px": None}


def larger(directory: Path) -> Context:
    """What surrounds a step, with enough images of enough pixels."""
    data = {"kind": "procedural", "image_size": 32, "num_images": {"train": 16, "search": 6, "test": 2}}
    return replace(make_context(directory, None), data=parse_data(data))


def distance(work: Work, context: Context) -> float:
    """Mean squared distance to the teacher, on images that took no part."""
    given = torch.cat([context.task.encode(batch["input"]) for batch in context.images("search", 6)])
    with torch.no_grad():
        return (work.build()(given) - work.teacher.build()(given)).square().mean().item()


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_pruning_with_a_refit_is_pruning_and_then_the_step(tmp_path, norm):
    work, context = make_work(norm), larger(tmp_path)
    pruned = Prune(keep=0.5).run(work, context)
    apart = Refit(**ALL).run(pruned, context)
    together = Prune(keep=0.5, refit=ALL).run(work, context)
    assert distance(together, context) < 0.7 * distance(pruned, context)
    assert together.facts["note"] == apart.facts["note"]
    assert together.facts["note"].endswith("layers refitted")
    assert len(apart.facts["refit"]["layers"]) == 8
    if norm == "instance":  # the step begins with statistics that were computed behind the cut
        assert same_weights(together.generator, apart.generator)
    assert apart.teacher is work.teacher


def test_a_network_that_was_not_cut(tmp_path):
    message = r"refit: got a network that was not cut, or was trained since, .*; place refit right behind prune"
    with pytest.raises(ConfigError, match=message):
        Refit().run(make_work(), larger(tmp_path))


def test_too_few_images(tmp_path):
    work, context = make_work(), larger(tmp_path)
    pruned = Prune(keep=0.5).run(work, context)
    with pytest.raises(
        RefitError, match=r"refit: got 2 inputs, which give 'blocks.0.conv1' 128 equations .* at least 3"
    ):
        Refit(num_images=2, crop_px=None).run(pruned, context)


def test_behind_slimming_and_from_files(tmp_path):
    refit = {"kind": "refit", "num_images": 16, "crop_px": None}
    given = job(tmp_path, FAMILIES["own scales"], SLIM, refit, budget={"reduction": 1.5})
    straight = Pipeline(given, tmp_path / "run", lambda _: None).run()
    record = straight.records[-1]
    assert (record["kind"], record["note"][-16:]) == ("refit", " layers refitted")
    uncut = Generator.load(tmp_path / "run" / "steps" / straight.records[-2]["directory"] / "uncut")
    assert uncut.num_parameters > straight.compressed.generator.num_parameters
    fitted = {layer["name"]: layer for layer in record["refit"]["layers"]}
    assert sum(layer["after"] for layer in fitted.values()) < sum(layer["before"] for layer in fitted.values())


def test_behind_a_search(tmp_path):
    work, context = make_work(), larger(tmp_path / "refit")
    step = Search(options={"method": "random_at_budget"}, calibration_batches=1)
    found = step.run(work, replace(context, budget=CostLimit(0.7 * macs_of(work, context)), directory=tmp_path))
    fitted = Refit(**ALL).run(found, context)
    assert found.uncut is work.generator
    assert distance(fitted, context) < distance(found, context)


def test_crops_fit_the_family():
    generator = make_work().generator
    images = torch.arange(3 * 2 * 40 * 30).view(3, 2, 40, 30).float()
    crops = cropped(images, generator, 19)
    assert crops.shape == (3, 2, 16, 16)
    for crop, image in zip(crops, images, strict=True):
        y, x = divmod(int((image[0] == crop[0, 0, 0]).flatten().nonzero()), 30)
        assert torch.equal(crop, image[:, y : y + 16, x : x + 16])
    assert torch.equal(cropped(images, generator, 19), crops)
    assert not torch.equal(cropped(images, generator, 19, seed=1), crops)
    assert cropped(images, generator, 96).shape == (3, 2, 40, 30)
    foreign = replace(generator, architecture=architecture_of("tests.channels.strangers:SuperResolution", {}))
    assert cropped(images, foreign, 16) is images
    assert cropped(images[:, 0, 0], generator, 16).shape == (3, 30)
