"""The compact network, against a plain implementation on the same weights, and the files of its world."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.networks.importers import load_generator
from gancompress.networks.registry import build

CONFIG = {"nf": 6, "num_conv": 2, "scale": 2}


def plain(state: Mapping[str, Tensor], image: Tensor, scale: int) -> Tensor:
    """From an image in [0, 1] to an image in about [0, 1], written from the public code's description."""
    x = image
    last = max(int(name.split(".")[1]) for name in state)
    for i in range(0, last + 1, 2):
        x = F.conv2d(x, state[f"body.{i}.weight"], state[f"body.{i}.bias"], padding=1)
        if i < last:
            slope = state[f"body.{i + 1}.weight"][:, None, None]
            x = torch.where(x > 0, x, slope * x)
    b, _, h, w = x.shape
    x = x.view(b, -1, scale, scale, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, -1, scale * h, scale * w)
    return x + image.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


@pytest.mark.parametrize("scale", [1, 2, 4])
@torch.no_grad()
def test_the_network_is_the_published_one_in_the_range_of_this_package(scale, distinct_weights):
    network = distinct_weights(build("srvggnet_compact", {**CONFIG, "scale": scale})).double()
    image = torch.rand(2, 3, 8, 12, dtype=torch.float64)
    expected = plain(network.state_dict(), image, scale)
    torch.testing.assert_close((network(image * 2 - 1) + 1) / 2, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("config", [{}, {"scale": 4, "in_channels": 1}, {"widths": {"body.2": 3}}, {"num_conv": 5}])
def test_options_are_read_from_the_tensors(config, tmp_path, distinct_weights):
    state = distinct_weights(build("srvggnet_compact", {**CONFIG, **config})).state_dict()
    torch.save({"params": state}, tmp_path / "net.pth")
    generator = load_generator(tmp_path / "net.pth")
    assert generator.family == "srvggnet_compact"
    assert {**generator.config, **CONFIG, **config} == generator.config
    assert all(torch.equal(tensor, state[name]) for name, tensor in generator.state.items())


@pytest.mark.parametrize("activation", ["relu", "leakyrelu"])
def test_activations_without_tensors(activation, tmp_path):
    config = {**CONFIG, "activation": activation}
    torch.save(build("srvggnet_compact", config).state_dict(), tmp_path / "net.pth")
    assert load_generator(tmp_path / "net.pth", "srvggnet_compact", config).config["activation"] == activation


@torch.no_grad()
def test_public_weights(shared_data: Path):
    generator = load_generator(shared_data / "teachers" / "realesr_animevideov3_x4.pth")
    assert (generator.config["num_conv"], generator.num_parameters) == (16, 621_424)
    image = torch.rand(1, 3, 8, 8)
    expected = plain(generator.state, image, 4)
    torch.testing.assert_close((generator.build()(image * 2 - 1) + 1) / 2, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "first", "last"), [("srvggnet_compact", "body.1", "body.33"), ("rrdbnet", "conv_first", "conv_hr")]
)
@torch.no_grad()
def test_features_of_a_fresh_network_without_norms_do_not_vanish(family, first, last):
    network, seen = build(family, {"nf": 16}), []
    for path in (first, last):
        network.get_submodule(path).register_forward_hook(lambda _, __, output: seen.append(output.std().item()))
    network(torch.rand(1, 3, 8, 8) * 2 - 1)
    assert 0.1 < seen[1] / seen[0] < 100
