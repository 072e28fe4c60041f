"""Graphs of generators are traced once, whatever widths are asked for."""

from __future__ import annotations

from itertools import islice

import torch

from gancompress.data import parse_data
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.tasks import LatentTask, inputs
from gancompress.tasks.inputs import Inputs
from tests.jobs.steps.small_work import make_surroundings, make_work


def test_one_structure_is_traced_once_and_nothing_is_drawn(tmp_path, monkeypatch):
    traced, trace = [], inputs.trace
    monkeypatch.setattr(inputs, "trace", lambda *args: traced.append(args) or trace(*args))
    around, generator = make_surroundings(tmp_path, None), make_work().generator
    fine, coarse = around.inputs.graph(generator, multiple=1, minimum=1), around.inputs.graph(make_work().generator)
    assert len(traced) == 1
    assert fine.groups.keys() == coarse.groups.keys()
    assert {group.multiple for group in fine.groups.values()} == {1}
    assert {group.multiple for group in coarse.groups.values()} == {8}
    config = {"ngf": 16, "num_blocks": 1}
    wider = Generator.from_module(build("resnet", config), "resnet", config)
    before = torch.get_rng_state()
    assert around.inputs.graph(wider).groups != coarse.groups
    assert len(traced) == 2
    assert torch.get_rng_state().equal(before)


def test_another_run_traces_again(tmp_path, monkeypatch):
    """A class may have changed since, under the same name."""
    traced, trace = [], inputs.trace
    monkeypatch.setattr(inputs, "trace", lambda *args: traced.append(args) or trace(*args))
    for name in ("first", "second"):
        make_surroundings(tmp_path / name, None).inputs.graph(make_work().generator)
    assert len(traced) == 2


def test_noise_repeats_after_as_many_epochs_as_there_are_copies():
    data = parse_data({"kind": "procedural", "image_size": 16, "num_images": {"train": 3, "test": 1}})
    batches = islice(Inputs(LatentTask(), data).loader(0, copies=2)(0, 1), 12)
    noise = [tuple(batch["input"][0].tolist()) for batch in batches]
    epochs = [set(noise[first : first + 3]) for first in range(0, 12, 3)]
    assert epochs[0] == epochs[2]
    assert epochs[1] == epochs[3]
    assert len(epochs[0] | epochs[1]) == 6
