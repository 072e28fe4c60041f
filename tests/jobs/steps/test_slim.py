"""Slimming as a job: it reaches its budget, loses channels and blocks without a jump, and resumes to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gancompress.cost import measure
from gancompress.errors import BudgetError, ConfigError, Interrupted
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import Job, load_job
from gancompress.methods.slim import with_affine_norms
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, build

IMAGES = {"terms": [{"kind": "l1", "weight": 50}, {"kind": "gan"}]}
TRAINING = {"num_images": 80, "batch_size": 4, "checkpoint_every": 16, "log_every": 16}
SLIM = {
    "kind": "slim",
    "distillation": IMAGES,
    "penalty": 0.5,
    "adjust_every": 4,
    "remove_every": 16,
    "minimum": 3,
    "discriminator": {"family": "patchgan", "config": {"ndf": 4, "n_layers": 1}},
    "training": {**TRAINING, "preview_every": 0, "optimizer": {"learning_rate": 1e-3}},
}
NETWORKS = {
    "affine norms": {"family": "resnet_6blocks", "config": {"ngf": 4}},
    "own scales": {"family": "mobile_resnet_6blocks", "config": {"ngf": 4}},
}
SMALL = {
    "affine norms": {"family": "resnet", "config": {"ngf": 4, "num_blocks": 2}},
    "own scales": {"family": "resnet", "config": {"ngf": 4, "num_blocks": 2, "separable": True}},
}
"""For tests that need no exact budget."""


def job(directory: Path, network: dict, *steps: dict, **options) -> Job:
    torch.manual_seed(0)
    teacher = Generator.from_module(build(network["family"], network["config"]), network["family"], network["config"])
    teacher.save(directory / "given")
    recipe = {
        "name": "slim",
        "task": "paired",
        "data": {"kind": "procedural", "image_size": 32, "num_images": {"train": 16, "search": 4, "test": 4}},
        "teacher": {"checkpoint": str(directory / "given")},
        "budget": {"reduction": 1.5},
        "steps": steps or (SLIM,),
        "exports": [],
        **options,
    }
    path = directory / "slim.yaml"
    path.write_text(json.dumps(recipe))
    return load_job(str(path))


def run(given: Job, directory: Path, stop=lambda: False, trust: bool = False):
    return Pipeline(given, directory, lambda _: None, stop, trust=trust).run()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("streams", [False, True])
def test_the_budget_is_reached(tmp_path, network, streams):
    reduction = 3 if streams and network == "affine norms" else 1.5
    given = job(tmp_path, NETWORKS[network], {**SLIM, "streams": streams}, budget={"reduction": reduction})
    outcome = run(given, tmp_path / "run")
    limit = outcome.teacher.cost.macs.true / reduction
    assert 0.96 * limit < outcome.compressed.cost.macs.true <= limit  # a channel of a stream this narrow is 4 %
    slim = outcome.compressed.generator
    stream = FAMILIES.find(slim.family).parse(slim.config).group_widths()["down.1.conv"]
    assert stream == 16 if not streams else stream < 16


def test_a_penalty_that_does_not_reach_the_budget_is_said(tmp_path):
    weak, lines = {**SLIM, "penalty": 1e-6, "adjust_every": 80}, []
    given = job(tmp_path, SMALL["affine norms"], weak)
    outcome = Pipeline(given, tmp_path / "run", lines.append).run()
    assert outcome is not None
    full, cut = outcome.teacher.cost.macs.true, outcome.records[-1]["cut"]
    assert cut["alive"] == full > full / 1.5 >= cut["cost"]
    (warned,) = (line for line in lines if "the penalty came to" in line)
    assert f"to {full:,} true MACs alone, not to {full / 1.5:,.0f}; the rest was cut at once at the end" in warned


DEPTH = {**SLIM, "depth": True, "remove_every": 8}
ROUNDED = {
    "quantization": {"ranges": "learned"},
    "training": {**SLIM["training"], "precision": "bf16"},
}


@pytest.mark.parametrize("network", SMALL)
def test_blocks_leave_with_the_channels_within_the_budget(tmp_path, network):
    outcome = run(job(tmp_path, SMALL[network], DEPTH), tmp_path / "run")
    slim, cost = outcome.compressed.generator, outcome.compressed.cost
    assert 0.96 / 1.5 < cost.macs.true / outcome.teacher.cost.macs.true <= 1 / 1.5
    left_out = slim.architecture.left_out
    assert left_out in (("blocks.0",), ("blocks.1",))
    saved = Generator.load(outcome.directory)
    assert saved.architecture.left_out == left_out
    measured = measure(saved.build(), (torch.zeros(1, 3, 32, 32),))
    assert (measured.macs.true, measured.parameters) == (cost.macs.true, cost.parameters)
    assert not any(name.startswith(left_out) for name in slim.state)


REST = r"; raise the budget"
STREAMS, BLOCKS = r" or allow residual streams \(streams: true\)", r" or leave out blocks \(depth: true\)"
ADVICE = {
    "nothing is set": ({}, REST + STREAMS + BLOCKS),
    "a constant penalty": ({"steer": False}, REST + STREAMS + BLOCKS),
    "a higher minimum": ({"minimum": 4}, REST + " or lower minimum" + STREAMS + BLOCKS),
    "streams": ({"streams": True}, REST + BLOCKS),
    "blocks": ({"depth": True}, REST + STREAMS),
    "all": ({"streams": True, "depth": True}, REST),
}
"""Advice in the message about a budget out of reach, by the options that are set."""


@pytest.mark.parametrize("name", ADVICE)
def test_a_budget_out_of_reach_advises_what_is_not_set(tmp_path, name):
    options, advice = ADVICE[name]
    with pytest.raises(BudgetError, match=f"channels that are not pruned{advice}$"):
        run(job(tmp_path, SMALL["affine norms"], {**SLIM, **options}, budget={"macs": 100.0}), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.pt"))  # before training


def test_a_network_without_blocks_gets_no_advice_about_them(tmp_path):
    unet = {"family": "unet", "config": {"ngf": 4, "num_downs": 5}}
    with pytest.raises(BudgetError, match=f"channels that are not pruned{REST}$"):
        run(job(tmp_path, unet, SLIM, budget={"macs": 100.0}), tmp_path / "run")


def test_a_budget_that_widths_alone_do_not_reach(tmp_path):
    least = run(job(tmp_path, SMALL["affine norms"], {**SLIM, "steer": False, "penalty": 50.0}), tmp_path / "run")
    budget = {"macs": 0.95 * least.compressed.cost.macs.true}
    with pytest.raises(BudgetError, match=r"or leave out blocks \(depth: true\)"):
        run(job(tmp_path, SMALL["affine norms"], SLIM, budget=budget), tmp_path / "refused")
    outcome = run(job(tmp_path, SMALL["affine norms"], DEPTH, budget=budget), tmp_path / "shorter")
    assert outcome.compressed.cost.macs.true <= budget["macs"]


@pytest.mark.parametrize(
    "options", [{}, {"depth": True}, {"depth": True, **ROUNDED}], ids=["widths", "depth", "8 bits"]
)
def test_stopping_and_going_on_changes_no_bit(tmp_path, options):
    step = {**SLIM, **options, "remove_every": 8}
    given = job(tmp_path, SMALL["affine norms"], step)
    outcome = run(given, tmp_path / "straight")
    straight = outcome.compressed.generator.state
    assert bool(outcome.compressed.generator.architecture.left_out) == ("depth" in options)
    for after in (9, 16):
        directory = tmp_path / str(after)
        asked = iter(range(1000))
        with pytest.raises(Interrupted):
            run(given, directory, lambda asked=asked, after=after: next(asked) + 1 >= after)
        again = run(given, directory).compressed
        resumed = again.generator.state
        assert again.generator.architecture.left_out == outcome.compressed.generator.architecture.left_out
        assert straight.keys() == resumed.keys()
        assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_channels_leave_while_it_trains(tmp_path):
    outcome = run(job(tmp_path, SMALL["affine norms"]), tmp_path / "run")
    removals = outcome.records[-1]["removals"]
    assert len(removals) > 1
    costs = [removal["cost"] for removal in removals]
    assert costs == sorted(costs, reverse=True)
    assert all(removal["change"] < 1e-5 for removal in removals)


def test_a_penalty_that_kills_everything_leaves_the_narrowest_network(tmp_path):
    outcome = run(job(tmp_path, SMALL["own scales"], {**SLIM, "steer": False, "penalty": 50.0}), tmp_path / "run")
    slim = outcome.compressed.generator
    widths = FAMILIES.find(slim.family).parse(slim.config).group_widths()
    assert {width for name, width in widths.items() if name != "down.1.conv"} == {3}


@pytest.mark.parametrize("penalty", [0.01, 0.5])
def test_without_a_budget_what_is_removed_last_changes_no_image(tmp_path, penalty):
    given = job(tmp_path, SMALL["affine norms"], {**SLIM, "steer": False, "penalty": penalty}, budget=None)
    outcome = run(given, tmp_path / "run")
    assert outcome.records[-1]["cut"]["change"] < 1e-5
    cheaper = outcome.compressed.cost.macs.true < outcome.teacher.cost.macs.true
    assert cheaper == (penalty == 0.5)


def test_blocks_at_zero_change_no_image(tmp_path, monkeypatch):
    monkeypatch.setattr("gancompress.training.state.speed_up_image_convolutions", lambda *_: None)  # they round
    closed = {**DEPTH, "minimum": 16, "penalty": 50.0, "steer": False}  # only blocks can leave
    given = job(tmp_path, SMALL["own scales"], closed, budget=None)
    outcome = run(given, tmp_path / "run")
    assert outcome.compressed.generator.architecture.left_out == ("blocks.0", "blocks.1")
    removals = outcome.records[-1]["removals"]
    assert [removal["change"] for removal in removals] == [0.0]
    assert outcome.records[-1]["cut"]["change"] == 0.0


def test_a_changed_network_of_the_loss_is_another_step(tmp_path):
    file = tmp_path / "net.ts.pt"
    file.write_bytes(b"one")
    perceptual = {"kind": "perceptual", "network": str(file), "content": [1], "style": [0]}
    given = job(tmp_path, SMALL["affine norms"], {**SLIM, "distillation": {"terms": ["l1", perceptual]}})

    def directory() -> Path:
        return Pipeline(given, tmp_path / "run", lambda _: None).stages()[0].directory

    before = directory()
    assert directory() == before
    file.write_bytes(b"two")
    assert directory() != before


def test_affine_norms_change_nothing():
    torch.manual_seed(0)
    given = Generator.from_module(build("resnet_6blocks", {"ngf": 4}), "resnet_6blocks", {"ngf": 4})
    image = torch.randn(1, 3, 16, 16)
    affine = with_affine_norms(given)
    assert affine.build()(image).equal(given.build()(image))
    prunable = 4 + 8 + 6 * 16 + 8 + 4  # all but the residual stream's
    assert affine.num_parameters == given.num_parameters + 2 * prunable
    for before in (given, affine):
        every = with_affine_norms(before, streams=True)
        assert every.build()(image).equal(given.build()(image))
        assert every.num_parameters == given.num_parameters + 2 * (prunable + 7 * 16)


MISTAKES = {
    "a negative penalty": (
        {"penalty": -1.0},
        {},
        ConfigError,
        r"penalty: got -1\.0, expected .*greater than or equal to 0",
    ),
    "no penalty to steer": ({"penalty": 0.0}, {}, ConfigError, "penalty: got 0, expected more to begin with"),
    "averages": (
        {"training": {**TRAINING, "ema_half_life": 8}},
        {},
        ConfigError,
        "training.ema_half_life: expected none, because scales",
    ),
    "maps": (
        {"distillation": {"terms": ["l1", "features"]}},
        {},
        ConfigError,
        "got the term 'features', expected none on feature maps",
    ),
    "a negative weight of the distillation": (
        {"distillation": {"terms": [{"kind": "perceptual", "weight": -1}]}},
        {},
        ConfigError,
        r"weight: got -1, expected .*greater than or equal to 0",
    ),
    "no group to prune": (
        {"minimum": 64},
        {},
        ConfigError,
        r"slim: found no channel group to prune among \d+; lower minimum or leave out blocks",
    ),
    "layers that may be left out": (
        {"depth": True, "quantization": {"layer_bits": {"blocks.1.*": "float"}}},
        {},
        ConfigError,
        r"quantization: layer_bits: no layer 'blocks\.1\.\*' .*, because blocks with others may be left out; expected",
    ),
    "a budget below the rest": ({}, {"budget": {"macs": 100.0}}, BudgetError, "the smallest reachable cost is"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(tmp_path, name):
    slim, options, error, message = MISTAKES[name]
    with pytest.raises(error, match=message):
        run(job(tmp_path, SMALL["affine norms"], {**SLIM, **slim}, **options), tmp_path / "run")


def test_a_network_without_blocks_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"slim: depth: found no residual block .* among 0 .*; leave depth out"):
        run(job(tmp_path, {"family": "unet", "config": {"ngf": 4, "num_downs": 5}}, DEPTH), tmp_path / "run")


def test_weights_that_others_determine_are_refused(tmp_path):
    normed = {"family": "tests.networks.test_checkpoint_file:NewWeightNorm", "config": {}}
    with pytest.raises(ConfigError, match=r"slim: got weights that other tensors determine \('a' and 1 more\)"):
        run(job(tmp_path, normed), tmp_path / "run", trust=True)
