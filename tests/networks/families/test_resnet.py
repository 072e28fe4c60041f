"""The options of the ResNet generator that a runtime has a say in."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from gancompress.deploy.rewrites import rewritten
from gancompress.errors import ConfigError
from gancompress.networks.families.resnet import ResnetConfig
from gancompress.networks.registry import FAMILIES, build

FAST = {"norm": "batch", "separable_norm": "batch", "padding": "zeros", "stem_kernel": 3, "tail": "half_size"}
OPTIONS = {"stem_kernel": (3, 7), "tail_kernel": (3, 5), "tail": ("full_size", "half_size"), "separable": (False, True)}


@pytest.mark.parametrize("values", [*product(*OPTIONS.values())], ids=str)
@torch.no_grad()
def test_every_variant_keeps_the_size_and_has_the_same_groups(values):
    options = dict(zip(OPTIONS, values, strict=True))
    config = {"ngf": 4, "num_blocks": 1, **options}
    image = torch.rand(2, 3, 16, 24) * 2 - 1
    network = build("resnet", config).eval()
    assert network(image).shape == image.shape
    groups = FAMILIES.find("resnet").parse(config).group_widths()
    assert list(groups)[:3] == ["stem.conv", "down.0.conv", "down.1.conv"]
    assert list(groups)[-2:] == ["up.0.conv", "up.1.conv"]
    for group, width in groups.items():
        assert network.get_submodule(group).out_channels == width


def test_a_tail_at_half_size_moves_channels_into_pixels():
    config = {"ngf": 4, "num_blocks": 1, "tail": "half_size", "tail_kernel": 3, "out_channels": 2}
    head = build("resnet", config).eval().head
    features = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        blocks, image = head.conv(features), head(features)
    for channel, row, column in product(range(2), range(2), range(2)):
        wanted = blocks[:, 4 * channel + 2 * row + column].tanh()
        assert torch.equal(image[:, channel, row::2, column::2], wanted)


def test_padding_is_of_all_convolutions_of_stride_1():
    for padding in ("zeros", "reflect"):
        network = build("resnet", {"ngf": 4, "num_blocks": 1, "separable": True, "padding": padding})
        padded = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.padding[0]]
        modes = {layer.padding_mode for layer in padded if layer.stride[0] == 1}
        assert modes == {padding}


@torch.no_grad()
def test_every_batch_norm_folds_away():
    network = build("mobile_resnet_6blocks", {"ngf": 4, **FAST}).eval()
    for name, tensor in network.state_dict().items():
        if "running_var" in name or name.endswith("norm.weight"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point() and tensor.dim() == 1:
            tensor.uniform_(-0.5, 0.5)
    network, image = network.double(), torch.rand(1, 3, 16, 16, dtype=torch.float64)
    folded, (change,) = rewritten(network, ["folded_batch_norms"])
    # stem, two down, two up, and four of each of six blocks
    assert len(change.layers) == 5 + 4 * 6
    assert not any(isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d) for layer in folded.modules())
    assert torch.allclose(folded(image), network(image), rtol=0, atol=1e-12)


def test_the_published_network_is_the_default():
    published = {
        "stem_kernel": 7,
        "tail_kernel": 7,
        "tail": "full_size",
        "padding": "reflect",
        "separable_norm": "instance",
    }
    assert published.items() <= ResnetConfig().model_dump().items()
    with pytest.raises(ConfigError, match="stem_kernel"):
        ResnetConfig(stem_kernel=4)
