"""The promise that everything stands on: running a plan on the wide weights is running the narrow network."""

from __future__ import annotations

import pytest
import torch

from gancompress.channels import SubNetwork, materialise, narrow, trace
from gancompress.channels.skeleton import named_tensors
from gancompress.cost import CostModel, measure

from .cases import CASES, graph_of, make, random_plans

UNCOUNTED_BY_HOOKS = {"modulated", "attentive", "shifted", "decoder", "channel_attention"}
"""Networks with convolutions and matrix products written as functions: the hooks name them, and cannot count them."""


@pytest.mark.parametrize("name", CASES)
def test_supernet_equals_narrow_module_in_output_and_gradient(name):
    wide, inputs = make(name)
    graph = graph_of(name)
    assert graph.groups
    for plan in random_plans(graph):
        small = materialise(wide, graph, plan)
        expected = small(*inputs)
        wide.zero_grad()
        got = SubNetwork(wide, graph, plan)(*inputs)
        assert torch.equal(got, expected)

        expected.square().mean().backward()
        got.square().mean().backward()
        gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in wide.named_parameters()}
        for parameter_name, gradient in narrow(gradients, graph, plan).items():
            other = small.get_parameter(parameter_name).grad
            assert torch.equal(gradient, torch.zeros_like(gradient) if other is None else other), parameter_name


@pytest.mark.parametrize("name", CASES)
def test_running_statistics_follow_the_plan_into_the_wide_network(name):
    wide, inputs = make(name)
    graph = graph_of(name)
    statistics = [n for n in graph.tensors if n.endswith(("running_mean", "running_var"))]
    if not statistics:
        return
    (plan,) = random_plans(graph, 1)
    small = materialise(wide, graph, plan).train()
    before = {n: t.clone() for n, t in named_tensors(wide).items()}
    with torch.no_grad():
        torch.manual_seed(1)
        small(*inputs)
        torch.manual_seed(1)
        SubNetwork(wide.train(), graph, plan)(*inputs)
    after = named_tensors(wide)
    updated = narrow(after, graph, plan)
    assert all(torch.equal(updated[n], small.get_buffer(n)) for n in statistics if plan.holds(n))
    changed = [n for n in statistics if not torch.equal(before[n], after[n])]
    assert changed


@pytest.mark.parametrize("name", CASES)
def test_closed_form_equals_the_cost_measured_on_the_narrow_module(name):
    wide, inputs = make(name)
    graph = graph_of(name)
    model = CostModel(graph)
    for plan in (graph.full_plan(), *random_plans(graph)):
        cost, measured = model.at(plan), measure(materialise(wide, graph, plan), inputs)
        assert cost.parameters == measured.parameters
        assert cost.parameter_bytes == measured.parameter_bytes
        assert cost.peak_activation_bytes == measured.peak_activation_bytes
        if name in UNCOUNTED_BY_HOOKS:
            assert any("outside a known layer" in line for line in measured.uncounted)
        else:
            assert cost.macs == measured.macs
        assert sum(layer.true for layer in model.layers(plan).values()) == cost.macs.true


def test_a_narrow_module_shares_nothing_with_the_wide_one():
    wide, inputs = make("volume")
    graph = trace(wide, inputs, multiple=1, minimum=1)
    small = materialise(wide, graph, graph.full_plan())
    before = small(*inputs)
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.zero_()
    assert torch.equal(small(*inputs), before)
    assert small.shared.weight is small.again.weight


def test_a_subnetwork_follows_the_wide_weights():
    wide, inputs = make("dense_concat")
    graph = trace(wide, inputs, multiple=1, minimum=1)
    plan = graph.uniform_plan(0.5)
    network = SubNetwork(wide, graph, plan)
    before = network(*inputs)
    with torch.no_grad():
        wide.squeeze.weight.add_(0.1)
    assert not torch.equal(network(*inputs), before)
    assert torch.equal(network(*inputs), SubNetwork(wide, graph, plan)(*inputs))


def test_hooks_on_the_structure_see_the_feature_maps():
    wide, inputs = make("resnet_6blocks")
    graph = trace(wide, inputs)
    network = SubNetwork(wide, graph, graph.uniform_plan(0.5))
    seen = []
    network.structure.get_submodule("down.1").register_forward_hook(lambda *call: seen.append(call[2].shape))
    network(*inputs)
    assert seen == [torch.Size([1, 16, 8, 8])]


def test_a_narrow_module_says_its_own_sizes():
    wide, inputs = make("attentive")
    graph = trace(wide, inputs, multiple=1, minimum=1)
    small = materialise(wide, graph, graph.plan({"stem": 3, "grouped": 5, "squeeze": 2}))
    assert (small.depthwise.in_channels, small.depthwise.out_channels, small.depthwise.groups) == (12, 24, 12)
    assert (small.grouped.in_channels, small.grouped.out_channels, small.grouped.groups) == (24, 20, 4)
    assert small.norm.normalized_shape == (20,)
    assert (small.excite.in_features, small.excite.out_features) == (2, 12)
