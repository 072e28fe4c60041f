"""A family from outside this package: found by import path and entry point, used from Python and from a recipe."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
import torch
from torch import nn

from gancompress.channels import trace
from gancompress.errors import CheckpointError, ConfigError, InputSizeError, PlanError
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import FAMILIES, architecture_of, register_family
from tests.outside.tinynet import TinyNet, TinyNetConfig

PATH = f"{TinyNet.__module__}:TinyNet"
IMAGE = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)


PLUGIN = FAMILIES._values.pop("tinynet")  # so that tests of every family do not meet it


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(FAMILIES._values, "tinynet", PLUGIN)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator.of(architecture_of(PATH, {}))


@torch.no_grad()
def directly(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """The output of a [0, 1] network whose input and output are converted by hand."""
    return network.eval()((image + 1) / 2) * 2 - 1


def plain(generator: Generator) -> TinyNet:
    """The class itself with the weights of a generator."""
    network = TinyNet(TinyNetConfig(**generator.config))
    network.load_state_dict(generator.state)
    return network


def test_all_answers_are_those_of_the_family(generator):
    architecture = generator.architecture
    assert architecture.name == PATH
    assert architecture.distillation_taps == ("middle",)
    assert architecture.plan_string() == "8_8"
    assert architecture.widths_from_string("4_6") == {"enter": 4, "middle": 6}
    assert architecture.input_contract()["size_multiple_px"] == 2
    with pytest.raises(InputSizeError, match=r"tinynet:TinyNet: got an image of 3x16 .* divisible by 2"):
        architecture.check_size((3, 16))
    with pytest.raises(PlanError, match=r"got 3 numbers in '1_2_3', expected one of 2 \(pair\)"):
        architecture.widths_from_string("1_2_3")


def test_cut_saved_and_read_back(generator, tmp_path):
    network = generator.build()
    assert torch.equal(network(IMAGE), directly(plain(generator), IMAGE))
    graph = trace(network, (IMAGE,), multiple=1, minimum=1)
    narrow = cut(generator, graph, graph.plan({"enter": 5, "middle": 3}))
    assert narrow.config["widths"] == {"middle": 3}
    narrow.save(tmp_path)
    read = Generator.load(tmp_path)
    assert read.family == PATH
    assert torch.equal(read.build()(IMAGE), directly(plain(narrow), IMAGE))


def test_its_layouts_read_files_without_being_named(generator, tmp_path):
    names = {"enter": "a", "middle": "b", "leave": "c"}
    renamed = {f"{names[path]}.{leaf}": t for name, t in generator.state.items() for path, leaf in [name.split(".")]}
    torch.save(renamed, tmp_path / "old.pt")
    read = load_generator(tmp_path / "old.pt")
    assert read.family == "tinynet"
    assert torch.equal(read.build()(IMAGE), generator.build()(IMAGE))
    with pytest.raises(CheckpointError, match="do not fit tinynet"):
        load_generator(tmp_path / "old.pt", "tinynet", {"width": 3})


def test_found_by_an_entry_point(monkeypatch):
    monkeypatch.delitem(FAMILIES._values, "tinynet")
    with pytest.raises(ConfigError, match="family: got 'tinynet', expected a known family or an import path"):
        FAMILIES.find("tinynet")
    entries = {"tinynet": EntryPoint("tinynet", f"{__name__}:PLUGIN", FAMILIES.group)}
    monkeypatch.setattr(FAMILIES, "_entry_points", entries)
    assert FAMILIES.find("tinynet").network is PLUGIN.network
    entries["other"] = EntryPoint("other", "no_such_package:Other", FAMILIES.group)
    with pytest.raises(
        ConfigError, match=r"^family: entry point 'other' of gancompress.families: no_such_.*; repair or uninstall"
    ):
        FAMILIES.find("other")


def test_a_name_belongs_to_one_class():
    with pytest.raises(ConfigError, match=r"families: got a second 'resnet', .*; gancompress.*:ResnetGenerator has it"):

        @register_family("resnet", TinyNetConfig)
        class Other(nn.Module):
            pass
