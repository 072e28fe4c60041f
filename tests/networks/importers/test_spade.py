"""SPADE checkpoints of other programs, against networks written from their description."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import FAMILIES, architecture_of, build

from .foreign_spade import PublishedSpade

Fill = Callable[[nn.Module], nn.Module]
SUB = (3, 2, 4, 3, 2, 3, 4, 3)


def label_maps(channels: int, side: int) -> Tensor:
    """Two one-hot maps whose labels change from pixel to pixel."""
    labels = (torch.arange(2 * side * side) * 7 // 5 % channels).view(2, side, side)
    return nn.functional.one_hot(labels, channels).movedim(-1, 1).float()


def filled(network: nn.Module, distinct_weights: Fill) -> nn.Module:
    """Distinct weights, and vectors of spectral norm as training leaves them."""
    with torch.no_grad():
        distinct_weights(network)
        for module in network.modules():
            if hasattr(module, "weight_u"):
                matrix = module.weight_orig.flatten(1)
                left, _, right = torch.linalg.svd(matrix, full_matrices=False)
                module.weight_u.copy_(left[:, 0])
                module.weight_v.copy_(right[0])
    return network


# arguments of the foreign network, family, options, plan string
FILES: dict[str, tuple[dict[str, Any], str, dict[str, Any], str | None]] = {
    "NVlabs, Cityscapes": ({"spectral_norm": True}, "spade", {"upsampling": "more"}, "_".join("4" * 8)),
    "NVlabs, another data set": (
        {"spectral_norm": True, "labels": 7, "doublings": 5},
        "spade",
        {"upsampling": "normal", "in_channels": 7},
        "_".join("4" * 8),
    ),
    "NVlabs, seven doublings": (
        {"spectral_norm": True, "labels": 5, "doublings": 7},
        "spade",
        {"upsampling": "most", "widths": {}},
        None,
    ),
    "instance norm": ({"statistics": False}, "spade", {"norm": "instance"}, "_".join("4" * 8)),
    "full": ({}, "spade", {"norm": "batch", "ngf": 4, "widths": {}}, "_".join("4" * 8)),
    "mobile or supernet": ({"mobile": "instance"}, "mobile_spade", {"ngf": 4, "widths": {}}, "_".join("4" * 8)),
    "mobile with spectral norm": (
        {"mobile": "instance", "spectral_norm": True},
        "mobile_spade",
        {"spectral_norm": False},
        "_".join("4" * 8),
    ),
    "mobile with batch norm inside": ({"mobile": "batch"}, "mobile_spade", {"inner_norm": "batch"}, "_".join("4" * 8)),
    "sub": ({"mobile": "instance", "numbers": SUB, "full": 4}, "mobile_spade", {"ngf": 3}, "_".join(map(str, SUB))),
}


@pytest.mark.parametrize("name", FILES)
def test_published_files(name: str, tmp_path: Path, distinct_weights: Fill) -> None:
    arguments, family, options, plan = FILES[name]
    foreign = filled(PublishedSpade(**arguments), distinct_weights)
    torch.save(foreign.state_dict(), tmp_path / "net.pth")
    generator = load_generator(tmp_path / "net.pth")
    assert generator.family == family
    assert options.items() <= generator.config.items()
    assert architecture_of(family, generator.config).plan_string() == plan
    side = 2 * FAMILIES.find(family).architecture(generator.config).size_multiple
    labels = label_maps(generator.config["in_channels"], side).double()
    with torch.no_grad():
        got, expected = generator.build().double()(labels), foreign.double()(labels)
    # Spectral norm is folded in float32.
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-6 if arguments.get("spectral_norm") else 1e-9)
    assert expected.std() > 0.05


def test_a_sub_network_needs_nothing_of_its_supernet(tmp_path: Path) -> None:
    """Its file has the statistics of the supernet's channels; what is read has its own only."""
    foreign = PublishedSpade(SUB, full=4, mobile="instance")
    torch.save(foreign.state_dict(), tmp_path / "net.pth")
    state = load_generator(tmp_path / "net.pth").state
    assert foreign.state_dict()["head_0.norm_1.param_free_norm.running_mean"].shape == (64,)
    assert state["head_0.norm_0.norm.running_mean"].shape == (48,)
    assert state["head_0.norm_1.norm.running_var"].shape == (32,)
    assert state["up_3.norm_1.norm.running_mean"].shape == (3,)


def test_folded_here_or_by_another_program(tmp_path: Path, distinct_weights: Fill) -> None:
    """Folding equals PyTorch's own removal of spectral norm, to the bit."""
    foreign = filled(PublishedSpade(spectral_norm=True), distinct_weights)
    torch.save(foreign.state_dict(), tmp_path / "normed.pth")
    for module in foreign.modules():
        if hasattr(module, "weight_u"):
            nn.utils.remove_spectral_norm(module)
    torch.save(foreign.state_dict(), tmp_path / "removed.pth")
    normed, removed = (load_generator(tmp_path / f"{name}.pth") for name in ("normed", "removed"))
    assert normed.state.keys() == removed.state.keys()
    assert all(torch.equal(tensor, removed.state[name]) for name, tensor in normed.state.items())


def test_a_named_family_and_the_other_number_of_doublings(tmp_path: Path) -> None:
    torch.save(PublishedSpade(labels=36, doublings=5).state_dict(), tmp_path / "net.pth")
    assert load_generator(tmp_path / "net.pth").config["upsampling"] == "more"
    config = {"ngf": 4, "upsampling": "normal"}
    assert load_generator(tmp_path / "net.pth", "spade", config).config["upsampling"] == "normal"
    with pytest.raises(CheckpointError, match="do not fit mobile_spade, as named by SPADE or GAN Compression"):
        load_generator(tmp_path / "net.pth", "mobile_spade")


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("mobile_spade", {"ngf": 4, "in_channels": 5, "upsampling": "normal", "norm": "instance"}),
        ("multiscale_patchgan", {"ndf": 4, "in_channels": 5, "num_scales": 3}),
        ("multiscale_patchgan", {"ndf": 4, "n_layers": 2, "spectral_norm": False}),
    ],
)
def test_own_names_in_a_file_of_weights(family: str, config: dict[str, Any], tmp_path: Path) -> None:
    saved = Generator.from_module(build(family, config), family, config)
    torch.save(dict(saved.state), tmp_path / "net.pth")
    read = load_generator(tmp_path / "net.pth")
    assert (read.family, read.config) == (family, saved.config)
    assert all(torch.equal(tensor, saved.state[name]) for name, tensor in read.state.items())


def test_own_names_with_spectral_norm_are_folded(tmp_path: Path) -> None:
    config = {"ngf": 4, "in_channels": 5, "upsampling": "normal", "spectral_norm": True}
    network = build("spade", config).eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    read = load_generator(tmp_path / "net.pth")
    assert read.config["spectral_norm"] is False
    labels = label_maps(5, 64)
    with torch.no_grad():
        assert torch.equal(read.build()(labels), network(labels))
