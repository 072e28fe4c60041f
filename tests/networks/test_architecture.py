"""Architectures of networks without a family: classes by import path, and plain modules."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from gancompress.channels import trace
from gancompress.errors import CheckpointError, ConfigError, PlanError
from gancompress.networks.architecture import Architecture, ModuleArchitecture
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import Images
from gancompress.networks.registry import FAMILIES, architecture_of
from tests.methods.test_depth import residual_network

from .strangers import Stranger

PATH = f"{Stranger.__module__}:Stranger"
IMAGE = torch.linspace(-1, 1, 3 * 8 * 8).view(1, 3, 8, 8)


def local_network(activation) -> nn.Module:
    """A module of a class that nobody can import, whose argument no JSON holds."""

    class Local(nn.Module):
        def __init__(self, function) -> None:
            super().__init__()
            self.enter, self.leave = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
            self.function = function

        def forward(self, image: Tensor) -> Tensor:
            return self.leave(self.function(self.enter(image)))

    torch.manual_seed(0)
    return Local(activation).eval()


@pytest.mark.parametrize(
    "architecture", [architecture_of(PATH, {}), ModuleArchitecture.of(Stranger())], ids=["class", "module"]
)
def test_answers_without_a_description(architecture: Architecture):
    assert architecture.in_channels is None
    assert architecture.crop_side(13) is None
    assert not architecture.is_latent
    assert architecture.size_multiple == 1
    assert architecture.plan_string() is None
    assert architecture.search_slots() == ()
    assert architecture.input_contract() == architecture.output_contract() == {}
    assert dict(architecture.options) == {}
    architecture.check_input(torch.zeros(1, 5, 3, 1))
    assert [x.shape for x in architecture.example_inputs((4, 6))] == [(1, 3, 4, 6)]
    assert [x.shape for x in architecture.example_inputs((4, 6), [(1, 80, 9), (2,)])] == [(1, 80, 9), (2,)]
    assert architecture.taps(architecture.build(), (IMAGE,)) == ("middle", "norm")
    with pytest.raises(PlanError, match=r"got '8_8', expected widths by channel group for .*Stranger, as a mapping"):
        architecture.widths_from_string("8_8")
    with pytest.raises(ConfigError, match=r"Stranger: got options norm, expected a family that has them"):
        architecture.with_options(norm="frozen")
    with pytest.raises(ConfigError, match=r"Stranger: got a network that is not known to draw from noise"):
        architecture.draw_latents(1, torch.Generator())


def test_a_class_is_no_family():
    with pytest.raises(ConfigError, match=r"^family: .*:Stranger: got Stranger, a class without a family, expected"):
        FAMILIES.find(PATH)


@torch.no_grad()
def test_a_module_is_cut_saved_and_read_back(tmp_path):
    network = local_network(torch.tanh)
    wide = Generator.from_module(network, images=Images.parse("0..1"))
    assert torch.equal(wide.build()(IMAGE), network((IMAGE + 1) / 2) * 2 - 1)
    graph = trace(wide.build(), (IMAGE,), multiple=1, minimum=1)
    narrow = cut(wide, graph, graph.plan({"enter": 3}))
    narrow.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["class"].endswith("Local")
    read = Generator.load(tmp_path, local_network(torch.tanh))
    assert read.state["enter.weight"].shape == (3, 3, 3, 3)
    assert torch.equal(read.build()(IMAGE), narrow.build()(IMAGE))
    with pytest.raises(CheckpointError, match=r"module of .*Local, expected that module .* Generator.load\("):
        Generator.load(tmp_path)


@torch.no_grad()
@pytest.mark.parametrize("looped", [False, True])
def test_a_module_is_cut_and_then_shortened(tmp_path, looped):
    wide = Generator.from_module(residual_network(looped=looped))
    graph = trace(wide.build(), (IMAGE,), multiple=1, minimum=1)
    narrow = cut(wide, graph, graph.uniform_plan(0.5))
    shorter = graph.narrowed(graph.uniform_plan(0.5))
    twice = cut(narrow, shorter, shorter.uniform_plan(0.5).leaving_out(list(graph.blocks)[:2]))
    once = cut(wide, graph, graph.uniform_plan(0.25).leaving_out(list(graph.blocks)[:2]))
    assert twice.architecture.left_out == once.architecture.left_out
    assert twice.architecture.resized == once.architecture.resized
    twice.save(tmp_path)
    read = Generator.load(tmp_path, residual_network(looped=looped))
    assert torch.equal(read.build()(IMAGE), once.build()(IMAGE))


def test_fresh_weights_of_a_module():
    generator = Generator.from_module(local_network(torch.tanh))
    first, second = generator.fresh(1), generator.fresh(1)
    assert torch.equal(first.state["enter.weight"], second.state["enter.weight"])
    assert not torch.equal(first.state["enter.weight"], generator.state["enter.weight"])
    scaled = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ParameterList([nn.Parameter(torch.ones(1))]))
    with pytest.raises(ConfigError, match=r"got parameters in '1' \(ParameterList\), expected a method reset_param"):
        Generator.from_module(scaled).fresh(0)
