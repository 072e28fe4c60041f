from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.channels import trace
from gancompress.errors import CheckpointError, ConfigError
from gancompress.networks import weight_files
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, architecture_of, build
from gancompress.networks.resized import Resized

from .strangers import Stranger, Tied

Fill = Callable[[nn.Module], nn.Module]
STRANGER = f"{Stranger.__module__}:Stranger"
TIED = f"{Tied.__module__}:Tied"
IMAGE = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)


def narrow_stranger(width: int) -> tuple[Stranger, dict[str, dict[str, Any]]]:
    """A stranger whose channels were cut, and what that changed on its modules."""
    resized = {
        "enter": {"out_channels": width},
        "middle": {"in_channels": width, "out_channels": width, "groups": width},
        "norm": {"num_features": width},
        "leave": {"in_channels": width},
    }
    return Stranger(width), resized


def resized_class(network: nn.Module, path: str, config: dict[str, Any], resized: Resized) -> Generator:
    """The value of a narrowed network of a class."""
    return Generator(replace(architecture_of(path, config), resized=resized), dict(network.state_dict()))


@torch.no_grad()
def output(network: nn.Module, image: Tensor = IMAGE) -> Tensor:
    return network.eval()(image)


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip_is_exact(family: str, tmp_path: Path, distinct_weights: Fill) -> None:
    config: dict[str, Any] = {FAMILIES[family].config_type.base_width: 4}
    first_group = next(iter(FAMILIES[family].parse(config).default_widths()))
    config["widths"] = {first_group: 7}
    network = distinct_weights(build(family, config))
    saved = Generator.from_module(network, family, config)
    saved.save(tmp_path / "net")
    loaded = Generator.load(tmp_path / "net")
    assert (loaded.family, loaded.config, loaded.architecture.resized) == (family, saved.config, {})
    assert list(loaded.state) == sorted(network.state_dict())
    side = max(FAMILIES[family].parse(config).min_size, 16)
    inputs = FAMILIES[family].architecture(config).example_inputs((side, side))
    results = (tree_leaves(output(built, *inputs)) for built in (loaded.build(), loaded.build_on_weights(), network))
    assert all(torch.equal(a, c) and torch.equal(b, c) for a, b, c in zip(*results, strict=True))


def test_saved_description(tmp_path: Path) -> None:
    config = {"ngf": 4}
    Generator.from_module(build("cartoongan", config), "cartoongan", config).save(tmp_path)
    description = json.loads((tmp_path / "config.json").read_text())
    assert description["input"] == {
        "layout": "NCHW",
        "channels": 3,
        "color_order": "RGB",
        "range": [-1, 1],
        "size_multiple_px": 4,
        "min_size_px": 8,
    }
    assert description["num_parameters"] == sum(
        p.numel() for p in architecture_of("cartoongan", config).skeleton().parameters()
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_training_a_built_network_leaves_the_value_alone() -> None:
    generator = Generator.from_module(build("resnet_6blocks", {"ngf": 4}), "resnet_6blocks", {"ngf": 4})
    network = generator.build()
    assert not network.training
    weight = network.get_parameter("stem.conv.weight")
    assert weight.requires_grad
    with torch.no_grad():
        weight.fill_(3)
    assert not (generator.state["stem.conv.weight"] == 3).any()


def test_a_network_on_the_weights_themselves_copies_only_what_has_another_type() -> None:
    generator = Generator.from_module(build("resnet_6blocks", {"ngf": 4}), "resnet_6blocks", {"ngf": 4})
    network = generator.build_on_weights()
    assert not network.training
    for name, tensor in network.named_parameters():
        assert tensor.data_ptr() == generator.state[name].data_ptr()
        assert tensor.requires_grad
    network.half()  # takes the place of its tensors alone
    half = Generator(generator.architecture, network.state_dict())
    assert generator.state["stem.conv.weight"].dtype == half.build_on_weights().get_parameter("stem.conv.weight").dtype


def test_building_draws_no_random_numbers() -> None:
    generator = Generator.from_module(build("unet", {"ngf": 4}), "unet", {"ngf": 4})
    before = torch.get_rng_state()
    generator.build()
    assert torch.equal(torch.get_rng_state(), before)


def test_narrowed_class_from_an_import_path(tmp_path: Path, distinct_weights: Fill) -> None:
    network, resized = narrow_stranger(5)
    distinct_weights(network)
    generator = resized_class(network, STRANGER, {"width": 8}, resized)
    generator.save(tmp_path)
    rebuilt = Generator.load(tmp_path, trust=True).build()
    assert torch.equal(output(rebuilt), output(network))
    assert rebuilt.get_submodule("middle").groups == 5
    assert generator.num_parameters == sum(p.numel() for p in network.parameters())


def test_tied_weights_stay_tied(tmp_path: Path, distinct_weights: Fill) -> None:
    network = Tied()
    distinct_weights(network)
    generator = Generator.from_module(network, TIED, {})
    assert generator.state["first.weight"].data_ptr() == generator.state["second.weight"].data_ptr()
    generator.save(tmp_path)
    loaded = Generator.load(tmp_path, trust=True)
    rebuilt = loaded.build()
    assert isinstance(rebuilt, Tied)
    assert rebuilt.second.weight is rebuilt.first.weight
    again = loaded.build_on_weights()
    assert again.get_parameter("second.weight") is again.get_parameter("first.weight")
    assert loaded.num_parameters == generator.num_parameters == 4 * 4 + 4 + 4
    features = torch.linspace(-1, 1, 4 * 9).view(1, 4, 3, 3)
    assert torch.equal(output(rebuilt, features), output(network, features))
    stored = (tmp_path / "model.safetensors").stat().st_size
    untied = {name: tensor.clone() for name, tensor in loaded.state.items()}
    weight_files.write_safetensors(tmp_path / "untied.safetensors", untied)
    assert stored < (tmp_path / "untied.safetensors").stat().st_size


def test_tied_weights_narrow_together() -> None:
    resized = {path: {"in_channels": 3, "out_channels": 3} for path in ("first", "second")}
    rebuilt = resized_class(Tied(3), TIED, {"width": 4}, resized).build()
    assert isinstance(rebuilt, Tied)
    assert rebuilt.second.weight is rebuilt.first.weight
    assert rebuilt.first.weight.shape == (3, 3, 1, 1)


def test_views_are_saved_on_their_own(tmp_path: Path) -> None:
    """Narrow tensors are slices of wide ones: saved, each is whole and no bigger than it looks."""
    wide = torch.arange(64.0).view(8, 8)
    weight_files.write_safetensors(tmp_path / "w.safetensors", {"a": wide[:3, :2], "b": wide[:2, :2], "c": wide.T})
    read = weight_files.read_safetensors(tmp_path / "w.safetensors")
    assert torch.equal(read["a"], wide[:3, :2])
    assert torch.equal(read["b"], wide[:2, :2])
    assert torch.equal(read["c"], wide.T)


def test_weights_that_do_not_fit() -> None:
    state = dict(build("resnet_6blocks", {"ngf": 4}).state_dict())
    del state["head.conv.bias"]
    state |= {"extra": torch.zeros(1), "stem.conv.bias": torch.zeros(5)}
    with pytest.raises(CheckpointError) as raised:
        Generator(architecture_of("resnet_6blocks", {"ngf": 4}), state).build()
    assert str(raised.value) == (
        "resnet_6blocks: the weights do not fit the config: 1 missing (head.conv.bias), 1 unexpected (extra), "
        "1 of another shape (stem.conv.bias: got 5, expected 4)"
    )


def test_long_lists_of_differences_are_cut() -> None:
    state = dict(list(build("resnet_6blocks", {"ngf": 4}).state_dict().items())[:-9])
    with pytest.raises(CheckpointError, match=r"9 missing \([\w.]+, [\w.]+, [\w.]+, and 6 more\)$"):
        Generator(architecture_of("resnet_6blocks", {"ngf": 4}), state).build()


@pytest.mark.parametrize(
    ("resized", "message"),
    [
        ({"nowhere": {"groups": 1}}, "has no attribute `nowhere`; expected modules and attributes of the network"),
        ({"enter": {"chanels": 1}}, "'Conv2d' object has no attribute 'chanels'; expected modules and attributes"),
    ],
)
def test_resized_that_does_not_fit(resized: dict[str, dict[str, Any]], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        resized_class(Stranger(), STRANGER, {}, resized).build()


def test_config_that_json_cannot_hold(tmp_path: Path) -> None:
    generator = Generator.from_module(Stranger(), STRANGER, {"width": torch.tensor(8)})
    with pytest.raises(ConfigError, match=r"the config cannot be saved: .*Tensor.*; use plain values"):
        generator.save(tmp_path / "net")
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, 'found no .*"format": "gancompress-generator"'),
        ({"version": 5}, "got format version 5, expected 1 or 2 or 3 or 4; update gancompress"),
        ({"family": None}, "got weights of a module of an unknown class, expected that module to read them into"),
        ({"family": 1}, "'family' missing or of a wrong type"),
        ({"config": [], "resized": 3}, "'config', 'resized' missing or of a wrong type"),
    ],
)
def test_descriptions_that_cannot_be_read(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    Generator.from_module(build("pixelgan", {"ndf": 4}), "pixelgan", {"ndf": 4}).save(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        Generator.load(tmp_path)


def test_blocks_left_out_are_read_back(tmp_path: Path) -> None:
    config = {"nf": 8, "growth": 4, "num_blocks": 2}
    wide, x = Generator.from_module(build("rrdbnet", config), "rrdbnet", config), torch.rand(1, 3, 8, 8)
    graph = trace(wide.build(), (x,), multiple=1, minimum=1)
    narrow = cut(wide, graph, graph.uniform_plan(0.5).leaving_out(["body.0", "body.1.rdb2"]))
    assert not any(name.startswith(("body.0.", "body.1.rdb2.")) for name in narrow.state)
    narrow.save(tmp_path)
    again = Generator.load(tmp_path)
    assert torch.equal(again.build()(x), narrow.build()(x))
    assert again.architecture.left_out == ("body.0", "body.1.rdb2")
    assert again.num_parameters == narrow.num_parameters
    file = tmp_path / "config.json"
    assert json.loads(file.read_text())["version"] == 3
    file.write_text(json.dumps(json.loads(file.read_text()) | {"left_out": ["tail.0"]}))
    with pytest.raises(CheckpointError, match=r"left_out: .*tail.*; expected paths of blocks of the network"):
        Generator.load(tmp_path)


def test_directories_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"found no config.json, expected a directory with config.json and "):
        Generator.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"found no model.safetensors"):
        Generator.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00")
    with pytest.raises(CheckpointError, match="got invalid JSON"):
        Generator.load(tmp_path)


def test_from_module_checks_the_config() -> None:
    with pytest.raises(ConfigError, match="nfg: unknown option"):
        Generator.from_module(build("pixelgan", {}), "pixelgan", {"nfg": 3})
