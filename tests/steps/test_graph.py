"""Graphs of generators are traced once, whatever widths are asked for."""

from __future__ import annotations

import torch

from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.steps import step
from tests.steps.small_work import make_context, make_work


def test_one_structure_is_traced_once_and_nothing_is_drawn(tmp_path, monkeypatch):
    traced, trace = [], step.trace
    monkeypatch.setattr(step, "trace", lambda *args: traced.append(args) or trace(*args))
    context, generator = make_context(tmp_path, None), make_work().generator
    fine, coarse = context.graph(generator, multiple=1, minimum=1), context.graph(make_work().generator)
    assert len(traced) == 1
    assert fine.groups.keys() == coarse.groups.keys()
    assert {group.multiple for group in fine.groups.values()} == {1}
    assert {group.multiple for group in coarse.groups.values()} == {8}
    config = {"ngf": 16, "num_blocks": 1}
    wider = Generator.from_module(build("resnet", config), "resnet", config)
    before = torch.get_rng_state()
    assert context.graph(wider).groups != coarse.groups
    assert len(traced) == 2
    assert torch.get_rng_state().equal(before)


def test_another_run_traces_again(tmp_path, monkeypatch):
    """A class may have changed since, under the same name."""
    traced, trace = [], step.trace
    monkeypatch.setattr(step, "trace", lambda *args: traced.append(args) or trace(*args))
    for name in ("first", "second"):
        make_context(tmp_path / name, None).graph(make_work().generator)
    assert len(traced) == 2
