"""Gates: where they are found, the proximal step, and blocks that leave without any change."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, materialise, reorder, trace
from gancompress.networks.registry import build
from gancompress.slimming import ChannelScales, Gate, Removal, find_gates, fold_constants, scaled_groups
from tests.channels.test_blocks import Network

BLOCKS = ("body.0", "body.1", "body.2")
EXAMPLE = (torch.linspace(-1, 1, 3 * 8 * 8).view(1, 3, 8, 8),)


class Normed(nn.Module):
    """Residual block that ends with a norm, or adds two layers."""

    def __init__(self, affine: bool, two: bool = False) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1) if two else None
        self.norm = nn.InstanceNorm2d(8, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        added = self.norm(self.conv(x))
        return x + (added if self.other is None else added + self.other(x))


def normed(affine: bool, two: bool = False) -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(*(Normed(affine, two) for _ in range(3)))
    return nn.Sequential(OrderedDict(enter=nn.Conv2d(3, 8, 1), body=body, leave=nn.Conv2d(8, 3, 1)))


def layers(*names: str) -> set[tuple[str, ...]]:
    return {tuple(f"{block}.{name}" for name in names) for block in BLOCKS}


CONV = ("conv.weight", "conv.bias")
AGAIN = ("again.weight", "again.bias")
CASES = {
    "plain": (lambda: Network(), layers(*CONV)),
    "scaled": (lambda: Network("scaled"), layers(*CONV)),
    "in place": (lambda: Network("in_place"), layers(*CONV)),
    "a factor of its own": (lambda: Network("gamma"), layers("gamma")),
    "two sums": (lambda: Network("twice"), layers(*CONV) | layers(*AGAIN)),
    "a branch": (lambda: Network("halved"), layers(*CONV)),
    "branches in a loop": (lambda: Network("halved", "looped"), layers(*CONV)),
    "a chain": (lambda: Network("chained"), layers(*AGAIN)),
    "an affine norm": (lambda: normed(affine=True), layers("norm.weight", "norm.bias")),
    "a norm that undoes the scale": (lambda: normed(affine=False), set()),
    "the sum of two layers": (lambda: normed(affine=True, two=True), set()),
}


def made(name: str) -> tuple[nn.Module, ChannelGraph, ChannelScales]:
    network = CASES[name][0]().eval()
    graph = trace(network, EXAMPLE, multiple=1, minimum=1)
    return network, graph, ChannelScales(network, (), find_gates(network, graph, EXAMPLE))


def run(module: nn.Module, scales: ChannelScales, example: Any = EXAMPLE) -> Tensor:
    with torch.no_grad():
        return torch.func.functional_call(module, scales.applied(dict(module.named_parameters())), example)


@pytest.mark.parametrize("name", CASES)
def test_a_gate_scales_the_last_layer_of_a_block(name):
    network, graph, scales = made(name)
    assert {gate.tensors for gate in scales.gates} == CASES[name][1]
    assert {gate.num_channels for gate in scales.gates} <= {8}
    assert {gate.name for gate in scales.gates} <= set(graph.blocks)
    assert run(network, scales).equal(network(*EXAMPLE))


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][1]])
def test_a_block_behind_a_closed_gate_leaves_without_any_change(name):
    network, graph, scales = made(name)
    with torch.no_grad():
        for number, value in enumerate(scales.blocks.values()):
            value.fill_(number % 3 / 2)  # 0, a half and 1
    before, tensors = run(network, scales), dict(network.named_parameters())
    removal = Removal.of(graph, scales.dead(tensors))
    assert len(removal.plan.left_out) == -(-len(scales.gates) // 3)
    with torch.no_grad():
        for key, value in scales.applied(tensors).items():
            network.get_parameter(key).copy_(value)
    assert materialise(network, graph, removal.plan)(*EXAMPLE).equal(before)
    kept = removal(network.state_dict())
    assert kept.keys() == {key for key in network.state_dict() if removal.plan.holds(key)} < network.state_dict().keys()


def test_of_nested_blocks_the_inner_ones_have_gates():
    network = build("rrdbnet", {"nf": 8, "growth": 8, "num_blocks": 2}).eval()
    example = (torch.randn(1, 3, 8, 8),)
    gates = find_gates(network, trace(network, example, multiple=1, minimum=1), example)
    assert [gate.name for gate in gates] == [f"body.{i}.rdb{j}" for i in range(2) for j in (1, 2, 3)]


def test_the_proximal_step_is_a_soft_threshold_in_the_order_of_the_strengths():
    network, graph, _ = made("plain")
    gates = find_gates(network, graph, EXAMPLE)
    ranked = [Gate(g.name, g.tensors, 8, strength) for g, strength in zip(gates, (5.0, 1.0, 2.0), strict=True)]
    scales, tensors = ChannelScales(network, (), ranked), dict(network.named_parameters())
    assert [float(each) for each in scales.magnitudes(tensors).values()] == pytest.approx([5 / 3, 1 / 3, 1])
    with torch.no_grad():
        scales.blocks["body/2"].fill_(-1)  # a gradient may turn it round
    scales.shrink(tensors, 0.4)
    assert [each.item() for each in scales.blocks.values()] == pytest.approx([1 - 0.4 * 3 / 5, 0, -0.6])
    assert [bool(each) for each in scales.dead(tensors).values()] == [False, True, False]
    assert [group["lr"] for group in scales.rates(0.8)] == [0.1] * 3
    assert all(float(each) == 1 for each in ChannelScales(network, (), gates).magnitudes(tensors).values())


def test_gradients_reach_a_closed_gate_and_no_weight_behind_it():
    network, _, scales = made("plain")
    with torch.no_grad():
        scales.blocks["body/1"].fill_(0)
    tensors = scales.applied(dict(network.named_parameters()))
    torch.func.functional_call(network, tensors, EXAMPLE).square().mean().backward()
    assert all(value.grad is not None and value.grad.abs() > 0 for value in scales.blocks.values())
    assert not network.body[1].conv.weight.grad.any()


def test_constants_of_dead_channels_count_the_gates():
    torch.manual_seed(0)
    module = build("resnet_6blocks", {"ngf": 4, "affine_norms": "all"}).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)
    example = (torch.randn(1, 3, 16, 16),)
    graph = trace(module, example, multiple=1, minimum=1)
    scales = ChannelScales(
        module, scaled_groups(module, graph, example, streams=True), find_gates(module, graph, example)
    )
    tensors = dict(module.named_parameters())
    with torch.no_grad():
        for number, value in enumerate(scales.blocks.values()):
            value.fill_(0.5 * number)
        for group in scales.groups:
            for name, _, positions in (*group.places, *group.shifts):
                tensors[name][positions[::2].flatten()] = 0
    before = run(module, scales, example)
    removal = Removal.of(graph, scales.dead(tensors))
    assert removal.plan.widths["down.1.conv"] == 8
    assert removal.plan.left_out == {"blocks.0"}
    fold_constants(module, removal, example, set(graph.groups), scales.applied(tensors))
    with torch.no_grad():
        for key, value in scales.applied(tensors).items():
            module.get_parameter(key).copy_(value)
    module.load_state_dict(reorder(module.state_dict(), graph, removal.order))
    after = materialise(module, graph, removal.plan)(*example)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
