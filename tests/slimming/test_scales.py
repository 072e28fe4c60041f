"""Scales: where they are found, the proximal step, dead channels, and their removal without a change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, materialise, reorder, trace
from gancompress.networks.registry import build
from gancompress.slimming import ChannelScales, Removal, fold_constants, scaled_groups

CASES = {
    "affine instance norm": ("resnet_6blocks", {"ngf": 4, "affine_norms": "prunable"}, False, {"norm"}),
    "with streams": ("resnet_6blocks", {"ngf": 4, "affine_norms": "all"}, True, {"norm"}),
    "no affine norm": ("mobile_resnet_6blocks", {"ngf": 4}, True, {"reader"}),
    "batch norm, no biases": ("unet_128", {"ngf": 4}, False, {"norm", "reader"}),
    "cartoongan": ("cartoongan", {"ngf": 4}, False, {"norm", "reader"}),
}
Network = tuple[nn.Module, ChannelGraph, tuple[Tensor, ...], ChannelScales]


def network(name: str) -> Network:
    family, config, streams, _ = CASES[name]
    module = build(family, config).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)
    for key, buffer in module.named_buffers():
        if key.endswith("running_mean"):
            nn.init.normal_(buffer)
    size = 128 if family.startswith("unet") else 16
    example = (torch.randn(2, 3, size, size).clamp(-1, 1),)
    graph = trace(module, example, multiple=1, minimum=1)
    return module, graph, example, ChannelScales(module, scaled_groups(module, graph, example, streams))


def run(module: nn.Module, scales: ChannelScales, example: tuple[Tensor, ...]) -> Tensor:
    with torch.no_grad():
        return torch.func.functional_call(module, scales.applied(dict(module.named_parameters())), example)


def kill(module: nn.Module, scales: ChannelScales, group: str, channels: Tensor) -> None:
    """Set every scale of some channels to 0, and the shifts that must be."""
    tensors = dict(module.named_parameters())
    (scaled,) = (each for each in scales.groups if each.name == group)
    with torch.no_grad():
        if scaled.kind == "reader":
            scales.readers[group.replace(".", "/")][channels] = 0
        for name, _, positions in (scaled.places if scaled.kind == "norm" else ()) + scaled.shifts:
            tensors[name][positions[channels].flatten()] = 0


def test_the_paper_scales_2688_channels_by_13_gammas():
    module = build("resnet_9blocks", {"affine_norms": "prunable"})
    example = (torch.zeros(1, 3, 16, 16),)
    scales = ChannelScales(module, scaled_groups(module, trace(module, example, multiple=1, minimum=1), example))
    assert sum(group.size for group in scales.groups) == 2688
    assert len(scales.groups) == len(scales.gammas()) == 13
    assert not list(scales.parameters())


@pytest.mark.parametrize("name", CASES)
def test_fresh_scales_change_nothing(name):
    module, graph, example, scales = network(name)
    with torch.no_grad():
        assert run(module, scales, example).equal(module(*example))
    assert {group.kind for group in scales.groups} == CASES[name][3]
    assert {group.name for group in scales.groups} <= set(graph.groups)


@pytest.mark.parametrize("name", CASES)
def test_dead_channels_leave_without_a_change(name):
    module, graph, example, scales = network(name)
    for number, group in enumerate(scales.groups):
        kill(module, scales, group.name, torch.arange(group.size)[(torch.arange(group.size) + number) % 2 == 0])
    before = run(module, scales, example)
    removal = Removal.of(graph, scales.dead(dict(module.named_parameters())))
    assert all(removal.plan.widths[group.name] == group.size // 2 for group in scales.groups)

    with torch.no_grad():
        for key, value in scales.applied(dict(module.named_parameters())).items():
            module.get_parameter(key).copy_(value)
    fold_constants(module, removal, example, set(graph.groups), dict(module.named_parameters()))
    module.load_state_dict(reorder(module.state_dict(), graph, removal.order))
    after = materialise(module, graph, removal.plan)(*example)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_a_channel_that_only_emits_a_constant_is_not_dead_where_no_bias_can_hold_it():
    module, _, _, scales = network("affine instance norm")
    tensors = dict(module.named_parameters())
    (group,) = (each for each in scales.groups if each.name == "up.0.conv")  # read by a transposed convolution
    with torch.no_grad():
        tensors["up.0.norm.weight"][3] = 0
        tensors["up.0.norm.bias"][3] = 0.02
    assert not scales.dead(tensors)[group.name].any()
    amount = 0.015 / float(scales.units.get_buffer("up/0/conv").mean())
    scales.shrink(tensors, amount)
    assert tensors["up.0.norm.bias"][3].item() == pytest.approx(0.005)
    scales.shrink(tensors, amount)
    assert scales.dead(tensors)[group.name].nonzero().flatten().tolist() == [3]


def test_the_proximal_step_is_a_soft_threshold():
    module, _, _, scales = network("affine instance norm")
    tensors = dict(module.named_parameters())
    before = tensors["stem.norm.weight"].detach().clone()
    spread = (2 * before.abs().argsort().argsort() + 1) / len(before)  # evenly from 0 to 2
    torch.testing.assert_close(scales.magnitudes(tensors)["stem.conv"], spread)
    scales.shrink(tensors, 0.3)
    expected = before * (1 - 0.3 / spread).clamp_min(0)
    strongest = before.abs().argmax()
    expected[strongest] = before[strongest]  # the narrowest width is 1
    torch.testing.assert_close(tensors["stem.norm.weight"].detach(), expected)
    scales.shrink(tensors, 1e9)
    assert tensors["stem.norm.weight"].count_nonzero() == 1


def test_a_stream_is_shrunk_by_its_joint_scale():
    module, _, _, scales = network("with streams")
    tensors = dict(module.named_parameters())
    names = ["down.1.norm.weight", *(f"blocks.{i}.norm2.weight" for i in range(6))]
    before = torch.stack([tensors[name].detach().clone() for name in names])
    joint = (2 * before.square().sum(0).argsort().argsort() + 1) / before.shape[1]
    torch.testing.assert_close(scales.magnitudes(tensors)["down.1.conv"].detach(), joint)
    scales.shrink(tensors, 0.2)
    after = torch.stack([tensors[name].detach() for name in names])
    factor = (1 - 0.2 / joint).clamp_min(0)
    factor[joint.argmax()] = 1
    torch.testing.assert_close(after, before * factor)


def test_gradients_reach_the_scales_of_groups_without_norms():
    module, _, example, scales = network("no affine norm")
    tensors = scales.applied(dict(module.named_parameters()))
    torch.func.functional_call(module, tensors, example).square().mean().backward()
    assert all(scale.grad is not None and scale.grad.abs().sum() > 0 for scale in scales.readers.values())


def test_a_network_without_prunable_groups_has_no_scales():
    module = nn.Sequential(nn.Conv2d(3, 3, 1))
    example = (torch.zeros(1, 3, 4, 4),)
    scales = ChannelScales(module, scaled_groups(module, trace(module, example, multiple=1, minimum=1), example))
    assert (scales.groups, scales.gammas(), list(scales.parameters())) == ((), [], [])
