"""StyleGAN2: what the channel graph makes of it, exact narrowing, noise, styles; its discriminator."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.channels import ChannelGraph, SubNetwork, materialise, trace
from gancompress.errors import PlanError
from gancompress.evaluation.latent.space import LatentSpace
from gancompress.networks.config_strings import widths_from_string
from gancompress.networks.families.equalized import EqualizedLinear, blur, upsample
from gancompress.networks.families.stylegan2 import StyleGan2Generator
from gancompress.networks.families.stylegan2_discriminator import deviation
from gancompress.networks.generator import Generator
from gancompress.networks.importers.load import load_generator
from gancompress.networks.registry import FAMILIES, architecture_of, build
from gancompress.networks.styles import Mixing, mixed
from tests.networks.plan_strings import at_string

SMALL = {"resolution": 32, "channel_max": 12, "latent_size": 6}


def small(**options: object) -> StyleGan2Generator:
    network = build("stylegan2", {**SMALL, **options})
    assert isinstance(network, StyleGan2Generator)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                tensor.add_(0.3 * torch.randn_like(tensor))
    return network.eval()


def graph_of(network: StyleGan2Generator) -> ChannelGraph:
    return trace(network, (torch.zeros(1, 6),), multiple=1, minimum=1)


@pytest.mark.parametrize(
    "config", [{}, {"resolution": 1024}, {"channel_multiplier": 1}, {"channel_multiplier": 0.125}, SMALL]
)
def test_the_graph_follows_all_of_it_and_the_mapping_network_keeps_its_width(config):
    architecture = architecture_of("stylegan2", config)
    parsed = FAMILIES.find("stylegan2").parse(config)
    graph = trace(architecture.skeleton(), architecture.example_inputs((1, 1), device="meta"))
    assert graph.unfollowed == ()
    assert {name: group.size for name, group in graph.groups.items()} == parsed.default_widths()
    assert {fixed.layer for fixed in graph.fixed} == {
        *(f"mapping.layers.{i}" for i in range(8)),
        *(f"to_rgb.{k}.conv" for k in range(parsed.num_layers // 2 + 1)),
    }
    roles = {(name, axis.role) for name, _, axis in graph.members("layers.0.conv", ("in", "out"))}
    assert {("layers.0.conv.weight", "out"), ("layers.1.conv.weight", "in"), ("to_rgb.0.conv.weight", "in")} < roles
    assert ("input.weight", "out") in {(name, axis.role) for name, _, axis in graph.members("input")}


def test_the_discriminator_can_be_narrowed_too():
    config = {"resolution": 32, "channel_max": 8}
    graph = trace(build("stylegan2_discriminator", config), (torch.zeros(2, 3, 32, 32),), multiple=1, minimum=1)
    assert graph.unfollowed == ()
    assert list(graph.groups) == list(FAMILIES.find("stylegan2_discriminator").parse(config).default_widths())


@pytest.mark.parametrize("how", ["exact", "paper"])
def test_supernet_and_narrow_network_do_not_differ(how):
    wide = small(narrow_scale=how)
    graph = graph_of(wide)
    plan = graph.plan({name: 3 + i for i, name in enumerate(graph.groups) if 3 + i <= graph.groups[name].size})
    latent, noise = torch.randn(2, 6), wide.new_noise(2)
    assert torch.equal(SubNetwork(wide, graph, plan)(latent, noise), materialise(wide, graph, plan)(latent, noise))


@torch.no_grad()
def test_channels_that_nothing_reads_are_cut_off_exactly():
    """The trap of the equalised learning rate: a narrow layer has a smaller fan in, but must compute the same."""
    wide, latent = small(), torch.randn(2, 6)
    graph = graph_of(wide)
    plan = graph.uniform_plan(0.5)
    for name, group in graph.groups.items():
        for tensor, axis, _ in graph.members(name, ["in"]):
            wide.get_parameter(tensor).narrow(axis, plan.widths[name], group.size - plan.widths[name]).zero_()
    cut = materialise(wide, graph, plan)
    torch.testing.assert_close(cut(latent), wide(latent), rtol=1e-5, atol=1e-5)
    value = Generator.from_module(cut, "stylegan2", {**SMALL, "widths": dict(plan.widths), "narrow_scale": "paper"})
    papers = value.build()
    assert isinstance(papers, StyleGan2Generator)
    drawn, theirs = (
        [image - k.conv.bias[:, None, None] for image, k in zip(n.images(latent)[:1], n.to_rgb, strict=False)]
        for n in (cut, papers)
    )
    torch.testing.assert_close(theirs[0], drawn[0] * math.sqrt(2), rtol=1e-4, atol=1e-4)


def test_net_shape_is_the_plan_string():
    text = "_".join(["154"] * 10 + ["77"] * 2 + ["39"] * 2)
    config = at_string("stylegan2", text).config
    assert architecture_of("stylegan2", config).plan_string() == text
    assert architecture_of("stylegan2", {}).plan_string() == "_".join(["512"] * 10 + ["256"] * 2 + ["128"] * 2)
    assert list(widths_from_string(FAMILIES.find("stylegan2").parse({}), text))[:2] == ["input", "layers.0.conv"]
    assert config["channel_max"] == 154
    with pytest.raises(PlanError, match=r"got 8 numbers in .*, expected one of 14 \(net_shape\)"):
        at_string("stylegan2", "8_8_8_8_8_8_8_8")


@torch.no_grad()
def test_noise_maps():
    network, latent = small(), torch.randn(3, 6)
    assert torch.equal(network(latent), network(latent, "fixed"))
    assert not torch.equal(network(latent, "random"), network(latent, "random"))
    maps = network.new_noise(3)
    assert [tuple(m.shape) for m in maps] == [(3, 1, px, px) for px in (4, 8, 8, 16, 16, 32, 32)]
    assert torch.equal(network(latent, maps), network(latent, maps))
    assert torch.equal(network(latent, maps), network(latent, torch.cat([m.flatten(1) for m in maps], 1)))
    torch.testing.assert_close(network(latent, maps)[1:2], network(latent[1:2], [m[1:2] for m in maps]))
    network.train()
    assert not torch.equal(network(latent), network(latent))
    assert torch.equal(network(latent, "fixed"), network(latent, "fixed"))


@torch.no_grad()
def test_a_network_without_noise_maps_depends_on_its_latent_alone():
    network, with_maps, latent = small(noise_maps=False), small(), torch.randn(3, 6)
    assert network.own_noise() == network.new_noise(3) == []
    assert torch.equal(network(latent), network(latent, "random"))
    assert torch.equal(network(latent), network(latent, with_maps.new_noise(3)))
    assert torch.equal(with_maps(latent, network.new_noise(3)), with_maps(latent, "fixed"))
    network.train()
    assert torch.equal(network(latent), network(latent))
    names = set(with_maps.state_dict()) - set(network.state_dict())
    assert {name.split(".")[-1] for name in names} == {"noise", "noise_strength"}
    assert LatentSpace.of(network, 6).num_noise == 0
    graph = graph_of(network)
    plan = graph.uniform_plan(0.5)
    given = latent, network.new_noise(3)
    assert torch.equal(SubNetwork(network, graph, plan)(*given), materialise(network, graph, plan)(*given))


def test_whether_there_are_noise_maps_follows_from_a_state_dict(tmp_path):
    for has_maps in (True, False):
        path = tmp_path / f"{has_maps}.pt"
        torch.save(small(noise_maps=has_maps).state_dict(), path)
        assert load_generator(path, "stylegan2").config["noise_maps"] == has_maps


@torch.no_grad()
def test_styles_and_mixing():
    network, (a, b) = small(), torch.randn(2, 3, 6)
    first, second = network.mapping(a), network.mapping(b)
    torch.testing.assert_close(network(first[:, None]), network(a))
    styles = mixed(*(network.styles(each) for each in (a, b)), 3)
    assert torch.equal(network.styles(a, Mixing(b, 3)), styles)
    assert torch.equal(network(a, "fixed", Mixing(b, 3)), network(styles, "fixed"))
    assert styles.shape == (3, 8, 6)
    assert torch.equal(styles[:, 2], first)
    assert torch.equal(styles[:, 3], second)
    images, pure = network.images(styles), network.images(a)
    torch.testing.assert_close(images[0], pure[0])  # layers 0 and 1: the style of a
    assert not torch.allclose(images[1], pure[1])
    assert [image.shape[-1] for image in images] == [4, 8, 16, 32]


def test_demodulation_gives_every_output_channel_unit_variance():
    network = small(channel_max=64)
    with torch.no_grad():
        layer = network.layers[0]
        style = network.mapping(torch.randn(4, 6))
        scales = layer.modulation(style)
        out = layer.conv(torch.randn(4, 64, 64, 64) * scales[:, :, None, None])
        out = out * layer.demodulation(scales)[:, :, None, None]
    assert out.std((2, 3)).mean().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_initial_layers_keep_the_variance(rate):
    layer = EqualizedLinear(256, 256, rate=rate)
    assert layer.weight.std().item() == pytest.approx(1 / rate, rel=0.05)
    with torch.no_grad():
        assert layer(torch.randn(512, 256)).std().item() == pytest.approx(1, rel=0.05)


def test_filters():
    taps = torch.outer(*(torch.tensor([1.0, 3, 3, 1]),) * 2)[None, None] / 64
    image = torch.randn(1, 1, 6, 7)
    torch.testing.assert_close(blur(image, 2), F.conv2d(image, taps, padding=2))
    spread = torch.zeros(1, 1, 12, 14)
    spread[:, :, ::2, ::2] = image
    torch.testing.assert_close(upsample(image), F.conv2d(F.pad(spread, (2, 1, 2, 1)), taps * 4))


@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_the_blur_operator_has_all_derivatives(padding, monkeypatch):
    """First ones, which training takes, and second ones, which the regularisers take."""
    image = torch.randn(2, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: blur(x, padding), image)
    assert torch.autograd.gradgradcheck(lambda x: blur(x, padding), image)
    torch.library.opcheck(torch.ops.gancompress.blur2d.default, (image.float().detach(), padding))
    operator = blur(image, padding)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(blur(image, padding), operator)


def test_deviation_of_a_batch():
    def expected(images: Tensor) -> float:
        return images.std(0, unbiased=False).mean().item()

    features = torch.randn(6, 5, 4, 4)
    found = deviation(features, 4)
    assert found.shape == (6, 1, 4, 4)
    for i in range(2):  # the largest group of at most 4 that 6 has is 3
        assert found[i::2].unique().tolist() == pytest.approx([expected(features[i::2])], rel=1e-4)
    assert deviation(features[:4], 4)[0, 0, 0, 0].item() == pytest.approx(expected(features[:4]), rel=1e-4)
    assert deviation(features[:1], 4).abs().max() < 1e-3


def test_second_derivatives_exist_for_the_regularisers():
    network, judge = small(), build("stylegan2_discriminator", {"resolution": 32, "channel_max": 8})
    styles = network.mapping(torch.randn(2, 6))[:, None].expand(-1, 8, -1)
    (slope,) = torch.autograd.grad(network(styles).sum(), styles, create_graph=True)
    slope.square().sum().backward()
    image = torch.randn(2, 3, 32, 32, requires_grad=True)
    (slope,) = torch.autograd.grad(judge(image).sum(), image, create_graph=True)
    slope.square().sum().backward()
    gradients = [network.layers[3].conv.weight.grad, judge.get_submodule("blocks.1.conv2").weight.grad]
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients)
