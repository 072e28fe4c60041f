"""SNGAN's networks: their published shapes, classes, initial weights, and what the channel graph makes of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gancompress.channels import materialise, trace
from gancompress.errors import ConfigError
from gancompress.networks.families.sngan import ClassBatchNorm, SnganGenerator
from gancompress.networks.families.sngan_discriminator import SnganDiscriminator
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, architecture_of, build

NETWORKS = [
    ("sngan_32", {}),
    ("sngan_32", {"num_classes": 10}),
    ("sngan_64", {}),
    ("sngan", {"halving": True, "bottom_size": 6}),
    ("sngan", {"halving": True, "num_blocks": 5}),
    ("sngan_discriminator", {}),
    ("sngan_discriminator", {"in_channels": 13, "num_classes": 10}),
    ("sngan_discriminator", {"ndf": 64, "num_downs": 5, "num_plain": 0, "doubling": True}),
]


@pytest.mark.parametrize(("family", "config"), NETWORKS)
def test_the_graph_follows_all_of_it_and_knows_the_groups_of_the_config(family, config):
    known = FAMILIES.find(family)
    with torch.device("meta"):
        network = known.build(config)
    graph = trace(network, known.architecture(config).example_inputs((64, 64), device="meta"), multiple=1, minimum=1)
    assert graph.unfollowed == ()
    assert {name: group.size for name, group in graph.groups.items()} == known.parse(config).default_widths()
    assert [fixed.layer for fixed in graph.fixed] == (["head.conv"] if known.role == "generator" else [])


@pytest.mark.parametrize(
    ("family", "config", "widths", "side"),
    [
        ("sngan_32", {}, [256, 256, 256, 256], 32),
        ("sngan_64", {}, [1024, 512, 256, 128, 64], 64),
        ("sngan", {"halving": True, "bottom_size": 6}, [512, 256, 128, 64], 48),
        ("sngan", {"halving": True, "num_blocks": 5}, [1024, 1024, 512, 256, 128, 64], 128),
    ],
)
def test_published_widths_and_sizes(family, config, widths, side):
    """Tables 3 to 5 of the paper: images of 32, 48, 64 and 128 pixels."""
    parsed = FAMILIES.find(family).parse(config)
    groups = parsed.group_widths()
    streams = [groups["stem"], *(groups[f"blocks.{i}.conv2"] for i in range(len(widths) - 1))]
    assert streams == widths
    assert parsed.image_size == side
    image = architecture_of(family, config).skeleton()(torch.zeros(2, 128, device="meta"))
    assert image.shape == (2, 3, side, side)


def test_residual_streams_are_tied():
    graph = trace(build("sngan_32", {"ngf": 2}), (torch.zeros(1, 128),), multiple=1, minimum=1)
    on_stream = {name for name, _, axis in graph.members("blocks.0.conv2") if axis.role in ("out", "in", "statistic")}
    assert on_stream == {
        *("blocks.0.conv2.weight", "blocks.0.shortcut.weight", "blocks.1.conv1.weight", "blocks.1.shortcut.weight"),
        *("blocks.1.norm1.running_mean", "blocks.1.norm1.running_var"),
    }
    judge = build("sngan_discriminator", {"ndf": 8})
    graph = trace(judge, (torch.zeros(1, 3, 32, 32),), multiple=1, minimum=1)
    writing = {name.partition(".param")[0] for name, _, _ in graph.members("blocks.1.conv2", ["out"])}
    blocks = {f"blocks.{i}.conv2" for i in (1, 2, 3)}
    assert writing == {*blocks, "blocks.1.shortcut"}


def test_the_stem_narrows_with_all_positions_of_a_channel():
    wide = build("sngan_32", {"ngf": 2, "latent_size": 4})
    graph = trace(wide, (torch.zeros(1, 4),), multiple=1, minimum=1)
    small = materialise(wide, graph, graph.plan({"stem": 3}))
    assert small.stem.out_features == 3 * 16
    assert torch.equal(small.stem.weight, wide.stem.weight[:48])
    latent = torch.linspace(-1, 1, 8).view(2, 4)
    assert torch.equal(small.stem(latent).view(2, 3, 4, 4), wide.stem(latent).view(2, 8, 4, 4)[:, :3])


def test_class_batch_norm():
    norm = ClassBatchNorm(3, 2)
    features = torch.randn(4, 3, 5, 5)
    classes = torch.eye(2)[[0, 1, 1, 0]]
    torch.testing.assert_close(norm(features, classes), nn.BatchNorm2d(3)(features))
    with torch.no_grad():
        norm.scale.weight.copy_(torch.tensor([[1.0, 2], [3, 4], [5, 6]]))
        norm.shift.weight.copy_(torch.tensor([[0.0, 1], [0, 2], [0, 3]]))
    normal = nn.BatchNorm2d(3)(features)
    expected = normal[1] * torch.tensor([2.0, 4, 6]).view(3, 1, 1) + torch.tensor([1.0, 2, 3]).view(3, 1, 1)
    torch.testing.assert_close(norm(features, classes)[1], expected)


def test_classes_change_the_image_once_their_tables_differ():
    network = build("sngan_32", {"ngf": 2, "num_classes": 3, "latent_size": 8}).eval()
    assert isinstance(network, SnganGenerator)
    latent = torch.cat([torch.randn(1, 8).expand(3, -1), torch.eye(3)], 1)
    with torch.no_grad():
        before = network(latent)
        torch.testing.assert_close(before[0], before[1])
        network.blocks[0].norm2.shift.weight.copy_(torch.randn(8, 3))
        after = network(latent)
    assert not torch.allclose(after[0], after[1])


def test_projection():
    """Miyato and Koyama, equation 3: the logit is that of the image plus the product of class vector and features."""
    network = build("sngan_discriminator", {"ndf": 4, "in_channels": 5, "num_classes": 2}).eval()
    assert isinstance(network, SnganDiscriminator)
    image = torch.randn(3, 3, 8, 8)
    classes = torch.eye(2)[[0, 1, 1]]
    planes = classes[:, :, None, None].expand(-1, -1, 8, 8)
    features = network.blocks(image).relu().sum((2, 3))
    vectors = network.classes.weight.T[[0, 1, 1]]
    expected = network.head(features) + (vectors * features).sum(1, keepdim=True)
    torch.testing.assert_close(network(torch.cat([image, planes], 1)), expected)


def test_every_weight_of_the_discriminator_has_a_largest_singular_value_of_one():
    network = build("sngan_discriminator", {"ndf": 8, "in_channels": 5, "num_classes": 2}).train()
    with torch.no_grad():
        for _ in range(100):
            network(torch.randn(1, 5, 8, 8))
    layers = [m for m in network.eval().modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 2 + 8 + 2
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, rel=1e-3)


def test_initial_weights():
    network = build("sngan_32", {"ngf": 16})
    for path, gain in (("stem", 1), ("blocks.1.conv1", math.sqrt(2)), ("blocks.1.shortcut", 1), ("head.conv", 1)):
        layer = network.get_submodule(path)
        fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        assert layer.weight.abs().max().item() == pytest.approx(gain * math.sqrt(6 / (fan_in + fan_out)), rel=0.01)
        assert not layer.bias.any()


def test_input_contract():
    config = {"ngf": 2, "num_classes": 4}
    value = Generator.from_module(build("sngan_32", config), "sngan_32", config)
    assert FAMILIES.find("sngan_32").architecture(value.config).input_contract() == {
        "layout": "NC",
        "distribution": "standard normal, then one-hot classes",
        "latent_size": 128,
        "num_classes": 4,
        "image_size_px": 32,
        "color_order": "RGB",
    }
    (latent,) = FAMILIES["sngan_32"].architecture(value.config).example_inputs((7, 9))
    assert latent.shape == (1, 132)


def test_planes_of_classes_leave_channels_for_an_image():
    with pytest.raises(ConfigError, match="got 4 for an image and 4 planes of classes, expected more channels"):
        build("sngan_discriminator", {"in_channels": 4, "num_classes": 4})
