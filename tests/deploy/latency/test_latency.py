"""Parts of a network, what they take, and the model of their sum."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from torch import nn

from gancompress.architecture_search import SearchSpace
from gancompress.channels import trace
from gancompress.cost import CostModel
from gancompress.deploy.latency import (
    LatencyModel,
    LatencyTable,
    Target,
    learn_latency,
    measure_network,
    measuring,
    variants_of_graph,
    variants_of_space,
)
from gancompress.deploy.latency import learn as learning
from gancompress.deploy.latency.parts import Part, parts_of
from gancompress.deploy.latency.table import key_of
from gancompress.errors import CheckpointError
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from tests.deploy.benchmark.in_process import workers_as_threads

CONFIG = {"ngf": 8, "num_blocks": 2, "separable": True}
IMAGE = torch.zeros(1, 3, 16, 16)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_module(build("resnet", CONFIG), "resnet", CONFIG)


@pytest.fixture(scope="module")
def graph(generator):
    return trace(generator.build(), [IMAGE], multiple=4, minimum=4)


@pytest.fixture
def clock(monkeypatch) -> list[int]:
    """In place of a runtime: milliseconds by the number of weights; returns how many modules were timed each time."""
    calls = []

    def weights(modules, shapes, target, say=print):
        calls.append(len(modules))
        return [2.0 + sum(p.numel() for p in module.parameters()) / 1e3 for module in modules]

    monkeypatch.setattr(learning, "times_of", weights)
    return calls


def test_parts_are_stages_and_whole_blocks_with_the_widths_that_they_depend_on(generator, graph):
    parts = parts_of(generator.build(), graph, IMAGE)
    middle = "blocks.{}.conv1.pointwise"
    assert parts == (
        Part("stem", "stem", ("stem.conv",)),
        Part("down.0", "down.0", ("stem.conv", "down.0.conv")),
        Part("down.1", "down.1", ("down.0.conv", "down.1.conv")),
        Part("blocks.0", "blocks.0", ("down.1.conv", middle.format(0))),
        Part("blocks.1", "blocks.0", ("down.1.conv", middle.format(1))),  # the same on the same input
        Part("up.0", "up.0", ("down.1.conv", "up.0.conv")),
        Part("up.1", "up.1", ("up.0.conv", "up.1.conv")),
        Part("head", "head", ("up.1.conv",)),
    )


def test_a_network_that_joins_maps_is_cut_into_layers():
    network = build("unet", {"ngf": 4, "num_downs": 4}).eval()
    image = torch.zeros(1, 3, 16, 16)
    parts = parts_of(network, trace(network, [image], multiple=1, minimum=1), image)
    layers = {path for path, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)}
    inside = {layer for layer in layers for part in parts if layer == part.path or layer.startswith(f"{part.path}.")}
    assert inside == layers
    assert len({part.path for part in parts}) == len(parts)


def model_of(graph, times, networks) -> LatencyModel:
    """A model with one part for the first group and one for the second."""
    names = list(graph.groups)[:2]
    parts = [Part("a", "a", (names[0],)), Part("b", "b", (names[1],))]
    return LatencyModel(graph, parts, LatencyTable({}, times, networks))


def plans(graph):
    first, second = list(graph.groups)[:2]
    return [graph.plan({first: a, second: b}) for a in (4, 8) for b in (4, 8, 16)]


def test_the_sum_is_scaled_and_shifted_to_whole_networks(graph):
    times = {"a": {(4,): 1.0, (8,): 2.0}, "b": {(4,): 1.0, (8,): 3.0, (16,): 6.0}}
    sums = [2.0, 4.0, 7.0, 3.0, 5.0, 8.0]
    model = model_of(graph, times, {key_of(p): 0.5 * s + 3.0 for p, s in zip(plans(graph), sums, strict=True)})
    assert model.basis == "the sum of parts"
    assert [model.at(plan) for plan in plans(graph)] == pytest.approx([0.5 * s + 3.0 for s in sums])
    assert (model.error.median, model.error.rank_correlation) == pytest.approx((0.0, 1.0), abs=1e-9)
    assert model.at(graph.plan({list(graph.groups)[1]: 12})) == pytest.approx(
        0.5 * (2.0 + 4.5) + 3.0
    )  # between 8 and 16


def test_the_error_is_of_networks_that_were_left_out(graph):
    times = {"a": {(4,): 1.0, (8,): 2.0}, "b": {(4,): 1.0, (8,): 3.0, (16,): 6.0}}
    sums = [2.0, 4.0, 7.0, 3.0, 5.0, 8.0]
    told = [s * factor for s, factor in zip(sums, (1.2, 1, 1, 1, 1, 1), strict=True)]
    model = model_of(graph, times, dict(zip(map(key_of, plans(graph)), told, strict=True)))
    alone = model_of(graph, times, dict(list(zip(map(key_of, plans(graph)), told, strict=True))[1:]))
    assert alone.at(plans(graph)[0]) == pytest.approx(2.0)
    assert 0 < model.error.median < 0.2
    assert model.error.num_networks == 6


def test_a_part_never_becomes_faster_as_it_grows(graph):
    times = {"a": {(4,): 1.0, (8,): 1.0}, "b": {(4,): 3.0, (8,): 2.0, (16,): 6.0}}
    model = model_of(graph, times, {key_of(plans(graph)[0]): 7.0})
    # The envelopes of 3, 2, 6 are 3, 3, 6 and 2, 2, 6: a plan of the first costs 1 + 2.5 parts, which took 7 ms.
    assert [model.at(plan) for plan in plans(graph)[:3]] == pytest.approx([7.0, 7.0, 14.0])


def test_networks_that_macs_explain_are_predicted_by_macs(graph):
    cost = CostModel(graph)
    rng = torch.Generator().manual_seed(0)
    space = SearchSpace.from_graph(graph, max_choices=2)
    drawn = {space.plan(space.sample(rng)): None for _ in range(12)}
    names = list(graph.groups)[:2]
    times = {
        "a": {(width,): 1.0 for width in sorted({plan.widths[names[0]] for plan in drawn})},
        "b": {(width,): 2.0 for width in sorted({plan.widths[names[1]] for plan in drawn})},
    }
    told = {key_of(plan): 2.0 + cost.macs(plan).true / 1e5 for plan in drawn}
    model = model_of(graph, times, told)
    other = space.plan(space.smallest)
    assert model.basis.startswith("MACs")
    assert model.at(other) == pytest.approx(2.0 + cost.macs(other).true / 1e5)
    assert str(model).endswith(f"rank correlation 1.000 on {len(drawn)} networks")


def test_what_is_missing_is_measured_once(generator, graph, clock, tmp_path):
    space = SearchSpace.from_graph(graph, max_choices=2)
    variants = variants_of_space(space, num_networks=5)
    given = generator, graph, IMAGE, Target("eager", 1), variants
    model = learn_latency(*given, cache=tmp_path, keep_at=tmp_path / "step" / "latency.json")
    # stem and head: two widths each; five kinds with two groups each: four; five whole networks
    assert clock == [2 + 2 + 5 * 4 + 5]
    again = learn_latency(*given, cache=tmp_path)
    assert clock == [29, 0]
    plan = space.plan(space.sample(torch.Generator().manual_seed(3)))
    assert again.at(plan) == model.at(plan)
    wider = variants_of_space(SearchSpace.from_graph(graph, max_choices=2), num_networks=6)
    learn_latency(*given[:-1], wider, cache=tmp_path)
    assert clock == [29, 0, 1]
    (path,) = tmp_path.glob("*.json")
    kept = json.loads(path.read_text())
    assert kept["device"]["runtime"] == "eager"
    assert kept["parts_ms"]["blocks.0"]["8_8"] < kept["parts_ms"]["blocks.0"]["32_32"]


def test_a_step_that_goes_on_takes_its_own_table_and_not_the_cache(generator, graph, clock, tmp_path):
    variants = variants_of_graph(graph.constrain(multiple=16, minimum=16), num_networks=4)
    given = generator, graph, IMAGE, Target("eager", 1), variants
    kept = tmp_path / "latency.json"
    model = learn_latency(*given, cache=tmp_path / "cache", keep_at=kept)
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    again = learn_latency(*given, cache=tmp_path / "cache", keep_at=kept)
    assert len(clock) == 1
    assert again.at(graph.full_plan()) == model.at(graph.full_plan())


def test_a_damaged_cache_is_measured_anew_and_a_damaged_table_of_a_step_is_told(
    generator, graph, clock, tmp_path, caplog
):
    variants = variants_of_graph(graph.constrain(multiple=32, minimum=32), num_networks=2)
    given = generator, graph, IMAGE, Target("eager", 1), variants
    learn_latency(*given, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text("{")
    with caplog.at_level(logging.WARNING):
        learn_latency(*given, cache=tmp_path)
    assert "got no table of latencies" in caplog.text
    assert clock[0] == clock[1] > 0
    (tmp_path / "own.json").write_text('{"format": 0}')
    with pytest.raises(CheckpointError, match=r"own\.json: got no table of latencies \(format 0\); delete it"):
        learn_latency(*given, cache=tmp_path, keep_at=tmp_path / "own.json")


@pytest.mark.parametrize("runtime", ["eager", "openvino"])
def test_real_runtimes_time_layers_in_turns(runtime, monkeypatch):
    for package in {"eager": (), "openvino": ("onnxscript", "openvino")}[runtime]:
        pytest.importorskip(package)
    monkeypatch.setattr(measuring, "_TURN_MS", 1.0)
    small, large = nn.Conv2d(2, 2, 1).eval(), nn.Sequential(nn.Conv2d(64, 64, 7, padding=3), nn.ReLU()).eval()
    target = Target(runtime, 1)  # type: ignore[arg-type]
    with workers_as_threads():  # a whole network has a process below
        times = measuring.times_of([small, large], [(1, 2, 8, 8), (1, 64, 64, 64)], target, rounds=1)
    assert 0 < 3 * times[0] < times[1]  # a factor of six million in work


def test_a_whole_network_is_timed(generator, monkeypatch):
    monkeypatch.setattr(measuring, "_ROUNDS", 1)
    module = Generator.from_module(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).eval()
    )  # another process cannot build it
    with workers_as_threads():
        assert 0 < measure_network(generator, IMAGE, Target("eager", 1)) < 10_000
    assert 0 < measure_network(module, IMAGE, Target("eager", 1)) < 10_000
