"""The content-aware score against plain loops over pixels, and what it is compared with, for every kind of network."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, trace
from gancompress.errors import ConfigError
from gancompress.importance import SCORES, Probe, find_score
from gancompress.importance.content_aware import content_aware, noise_difference, salt_and_pepper
from gancompress.networks.registry import build
from gancompress.perception.content_masks import MASKS

STYLEGAN2 = {"resolution": 8, "channel_max": 8, "latent_size": 5}


def probe_of(network: nn.Module, shape: tuple[int, ...]) -> Probe:
    def inputs(num_images: int, batch_size: int):
        draw = torch.Generator().manual_seed(0)
        for start in range(0, num_images, batch_size):
            yield {"input": torch.randn(min(batch_size, num_images - start), *shape, generator=draw)}

    return Probe(network.eval(), inputs, seed=3)


@pytest.fixture
def stylegan2() -> tuple[Probe, ChannelGraph]:
    network = build("stylegan2", STYLEGAN2)
    return probe_of(network, (5,)), trace(network, (torch.zeros(1, 5),), multiple=1, minimum=1)


def by_pixels(image: Tensor, content: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """The loss, pixel by pixel."""
    chances, coins = torch.rand(content.shape, generator=draw), torch.randint(0, 2, content.shape, generator=draw)
    noisy = image.detach().clone()
    for b in range(image.shape[0]):
        for i in range(image.shape[2]):
            for j in range(image.shape[3]):
                if content[b, 0, i, j] == 1 and chances[b, 0, i, j] < share:
                    for c in range(image.shape[1]):
                        noisy[b, c, i, j] = 1.0 if coins[b, 0, i, j] == 1 else -1.0
    return (noisy - image).abs().sum()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_vectorised_score_equals_loops_over_pixels(stylegan2, batch_size):
    probe, graph = stylegan2
    mask = MASKS.parse({"kind": "ellipse", "height": 0.8, "width": 0.6}).load()
    found = content_aware(probe, graph, mask, noise=0.3, num_images=6, batch_size=batch_size)
    draw = torch.Generator().manual_seed(3)
    layers = [*(f"layers.{i}.conv.weight" for i in range(3)), "to_rgb.1.conv.weight"]
    weights = [probe.network.get_parameter(name) for name in layers]
    expected = {name: torch.zeros(8) for name in graph.groups}
    for batch in probe.inputs(6, batch_size):
        image = probe.network(batch["input"])
        loss = by_pixels(image, mask(image, ()), 0.3, draw)
        gradients = torch.autograd.grad(loss, weights)
        for name, layer, gradient in zip(graph.groups, layers, gradients, strict=True):
            for channel in range(8):
                up = layer == "layers.1.conv.weight"  # transposed: the input channels come first
                outgoing = gradient[channel] if up else gradient[:, channel]
                expected[name][channel] += outgoing.abs().mean()
    for name in graph.groups:
        torch.testing.assert_close(found[name], expected[name])


def test_layers_that_draw_the_image_count_if_asked(stylegan2):
    probe, graph = stylegan2
    mask = MASKS.parse("none").load()
    without, both = (content_aware(probe, graph, mask, num_images=4, image_layers=each) for each in (False, True))
    assert torch.equal(without["input"], both["input"])
    assert torch.equal(without["layers.2.conv"], both["layers.2.conv"])  # only to_rgb reads it
    assert (both["layers.0.conv"] > without["layers.0.conv"]).all()


def test_noise_stays_inside_the_content():
    content = torch.zeros(2, 1, 64, 64)
    content[:, :, 10:50, 20:60] = 1
    replaced, values = salt_and_pepper(content, 0.05, torch.Generator().manual_seed(0))
    assert not replaced[content == 0].any()
    assert replaced.sum().item() / content.sum().item() == pytest.approx(0.05, rel=0.15)
    assert values.unique().tolist() == [-1, 1]
    assert values.mean().abs() < 0.05
    image = torch.zeros(2, 3, 64, 64, requires_grad=True)
    (slope,) = torch.autograd.grad(noise_difference(image, replaced, values), image)
    assert torch.equal(slope, (-values * replaced).expand_as(image))


def test_no_content_anywhere(stylegan2):
    probe, graph = stylegan2

    def nothing(images: Tensor, names: object) -> Tensor:
        return torch.zeros_like(images[:, :1])

    with pytest.raises(ConfigError, match="found no content in any of 6 images, expected some; check the mask"):
        content_aware(probe, graph, nothing, num_images=6)


CASES = {
    "stylegan2": ("stylegan2", STYLEGAN2, (5,)),
    "sngan": ("sngan", {"ngf": 2, "num_blocks": 2, "bottom_size": 2, "latent_size": 6}, (6,)),
    "resnet": ("resnet", {"ngf": 4, "num_blocks": 1}, (3, 16, 16)),
    "unet": ("unet", {"ngf": 4, "num_downs": 3}, (3, 16, 16)),
    "mobile_spade": ("mobile_spade", {"ngf": 4, "in_channels": 5, "upsampling": "normal"}, (5, 64, 64)),
}


@cache
def case(family: str) -> tuple[nn.Module, ChannelGraph, tuple[int, ...]]:
    name, config, shape = CASES[family]
    network = build(name, config)
    return network, trace(network, (torch.zeros(1, *shape),), multiple=1, minimum=1), shape


@pytest.mark.parametrize("family", CASES)
@pytest.mark.parametrize("kind", [kind for kind, score in SCORES.items() if isinstance(score, type)])
def test_every_score_tells_the_channels_of_every_family_apart(family, kind):
    network, graph, shape = case(family)
    options = {} if kind == "random" else {"num_images": 2, "batch_size": 1}
    scores = find_score({"kind": kind, **options}, probe_of(network, shape))(network.state_dict(), graph)
    assert {group: len(score) for group, score in scores.items()} == {g.name: g.size for g in graph.groups.values()}
    assert all(score.isfinite().all() and len(score.unique()) > 1 for score in scores.values())
    again = find_score({"kind": kind, **options}, probe_of(network, shape))(network.state_dict(), graph)
    assert all(torch.equal(again[group], score) for group, score in scores.items())


def test_effective_norms_are_those_of_the_modulated_filters(stylegan2):
    probe, graph = stylegan2
    how = {"kind": "l1_outgoing_effective", "num_images": 3, "batch_size": 2}
    found = find_score(how, probe)(probe.network.state_dict(), graph)
    latents = torch.cat([batch["input"] for batch in probe.inputs(3, 2)])
    total = torch.zeros(8)
    layer = probe.network.get_submodule("layers.2")
    for latent in latents:
        scales = layer.modulation(probe.network.mapping(latent[None]))[0]
        weight = layer.conv.weight * layer.conv.scale * scales[None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        total += weight.abs().sum((0, 2, 3)).detach() / 3
    torch.testing.assert_close(found["layers.1.conv"], total)


def test_activation_map_is_what_the_readers_receive():
    network = build("resnet", {"ngf": 4, "num_blocks": 1})
    graph = trace(network, (torch.zeros(1, 3, 16, 16),), multiple=1, minimum=1)
    probe = probe_of(network, (3, 16, 16))
    found = find_score({"kind": "activation_map", "num_images": 2, "batch_size": 2}, probe)(network.state_dict(), graph)
    (batch,) = probe.inputs(2, 2)
    with torch.no_grad():
        seen = network.get_submodule("stem")(batch["input"])
    torch.testing.assert_close(found["stem.conv"], seen.abs().mean((0, 2, 3)))


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("content_awar", "score: got 'content_awar', expected a known score; did you mean 'content_aware'"),
        ({"kind": "l1_incoming", "noise": 1}, "score: got options for 'l1_incoming', which has none"),
        ({"kind": "content_aware", "noise": 2.0}, "score: noise: got 2.0, expected less than or equal to 1"),
        (
            {"kind": "content_aware", "mask": "elipse"},
            "score: mask: got 'elipse', expected a kind of mask; did",
        ),
        ("content_aware", "score: got 'content_aware', which runs the generator, expected images to run it on"),
    ],
)
def test_scores_that_do_not_fit(score, message):
    with pytest.raises(ConfigError, match=message):
        find_score(score)
