"""Residual blocks that can be left out: found, left out exactly, and written in plans."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from gancompress.channels import ChannelPlan, is_branch, left_out_of, materialise, modules_of, trace
from gancompress.cost import CostModel, measure
from gancompress.errors import PlanError


class Residual(nn.Module):
    """``x + f(x)``, in one of several forms."""

    def __init__(self, form: str = "plain") -> None:
        super().__init__()
        self.form = form
        self.conv, self.again = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.gamma = nn.Parameter(torch.ones(8, 1, 1))
        self.inner = None

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        f = self.conv(torch.relu(x))
        match self.form:
            case "scaled":
                return x + 0.2 * f
            case "in_place":
                f += x
                return f
            case "gamma":
                return nn.functional.dropout(f * self.gamma, 0.5, self.training) + x
            case "twice":
                x = x + f
                return x + self.again(x)
            case "divided" | "halved":
                return (x + f) / (1 if self.form == "divided" else 2)
            case "activated":
                return torch.relu(x + f)
            case "chained":
                return torch.relu(x + 0.5 * (self.again(torch.relu(f)) * self.gamma))
            case "minus":
                return f - x
            case "leaking":
                self.inner = f
                return x + f
            case "overwriting":
                x.relu_()
                return x + self.conv(x)
        return x + scale * f


class Network(nn.Module):
    """Three residual blocks between two convolutions, with one of several uses of them."""

    def __init__(self, form: str = "plain", use: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.use = use
        self.enter, self.leave = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
        self.body = nn.Sequential(*(Residual(form) for _ in range(3)))
        if use == "shared":
            self.body[1].conv = self.body[2].conv

    def forward(self, x: Tensor) -> Tensor:
        h = start = self.enter(x)
        for block in self.body:
            if self.use == "looped":
                h = torch.relu(h + 0.5 * block(torch.relu(h)))
            else:
                h = block(h, scale=0.5) if self.use == "keyword" else block(h)
        if self.use == "again":
            h = self.body[1](h)
        if self.use == "attribute":
            h = h * self.body[1].conv.weight.mean()
        if self.body[1].__dict__.get("inner") is not None:
            h = h + self.body[1].inner
        if self.use == "overwritten":
            h += 1
            h = h + start
        return self.leave(h)


ALL = {"body.0", "body.1", "body.2"}


@pytest.mark.parametrize(
    ("form", "use", "expected"),
    [
        *((form, "", ALL) for form in ("plain", "scaled", "in_place", "gamma", "divided")),
        ("twice", "", ALL | {f"{block}+{branch}" for block in ALL for branch in ("conv", "again")}),
        ("plain", "keyword", ALL),
        *((form, "", {f"{block}+conv" for block in ALL}) for form in ("halved", "activated")),
        ("chained", "", {f"{block}+conv+again" for block in ALL}),
        ("halved", "looped", {f"{owner}+{path}" for each in ALL for owner, path in (("", each), (each, "conv"))}),
        *((form, "", set()) for form in ("minus", "overwriting")),
        ("leaking", "", {"body.0", "body.2", "+body.2"}),
        ("plain", "shared", {"body.0"}),
        ("plain", "again", {"body.0", "body.2"}),
        ("plain", "attribute", {"body.0", "body.2"}),
        ("plain", "overwritten", ALL),
    ],
)
def test_blocks_are_those_that_a_network_can_do_without(form, use, expected):
    network, x = Network(form, use).eval(), torch.randn(1, 3, 8, 8)
    graph = trace(network, (x,), multiple=1, minimum=1)
    assert set(graph.blocks) == expected
    for block in expected:
        plan = graph.full_plan().leaving_out([block])
        short, reference = materialise(network, graph, plan), copy.deepcopy(network)
        last = reference.get_submodule(modules_of(block)[-1])
        if is_branch(block):
            last.register_forward_hook(lambda _, given, output: 0 * output)
        else:
            last.forward = lambda x, **_: x
        assert torch.equal(short(x), reference(x))
        assert left_out_of(short) == (block,)
        cost, measured = CostModel(graph).at(plan), measure(short, (x,))
        assert (cost.macs.true, cost.parameters) == (measured.macs.true, measured.parameters)
        assert cost.peak_activation_bytes == measured.peak_activation_bytes


def test_an_outer_block_takes_the_inner_ones_with_it():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(Residual(), Residual())

        def forward(self, x: Tensor) -> Tensor:
            return x + 0.2 * self.inner(x)

    network = nn.Sequential(nn.Conv2d(3, 8, 1), Outer(), nn.Conv2d(8, 3, 1))
    graph = trace(network, (torch.randn(1, 3, 8, 8),))
    assert list(graph.blocks) == ["1.inner.0", "1.inner.1", "1"]
    plan = graph.plan({}, ["1.inner.1", "1"])
    assert plan.left_out == {"1"}
    assert plan == graph.full_plan().leaving_out(["1"])
    assert CostModel(graph).at(plan).parameters == 3 * 8 + 8 + 8 * 3 + 3


def test_the_graph_of_a_shorter_network_needs_no_other_trace():
    network, x = Network("twice").eval(), torch.randn(1, 3, 8, 8)
    graph = trace(network, (x,), multiple=1, minimum=1)
    inner = ["body.0+conv", "body.2"]
    shorter = graph.narrowed(graph.uniform_plan(0.75).leaving_out(inner))
    assert not any(name.startswith(("body.0.conv", "body.2.")) for name in shorter.tensors)
    assert shorter.full_plan().left_out == set(inner)
    plan = shorter.plan({name: 4 for name, group in shorter.groups.items() if group.size > group.minimum}, ["body.0"])
    assert shorter.narrowed(plan).full_plan() == plan
    assert plan.left_out == {"body.0", "body.2"}
    short = materialise(materialise(network, graph, shorter.full_plan()), shorter, plan)
    measured = measure(short, (x,))
    for cost in (CostModel(graph).at(plan), CostModel(shorter).at(plan)):
        assert (cost.macs.true, cost.parameters) == (measured.macs.true, measured.parameters)
        assert cost.peak_activation_bytes == measured.peak_activation_bytes


def test_plans_say_what_they_leave_out():
    graph = trace(Network(), (torch.randn(1, 3, 8, 8),), multiple=1, minimum=1)
    old = ChannelPlan.from_json('{"enter": 8}')
    assert not old.left_out
    assert old.to_json() == '{"enter": 8}'
    plan = graph.uniform_plan(0.5).leaving_out(graph.matching_blocks(["body.[12]"]))
    assert ChannelPlan.from_json(plan.to_json()) == plan
    assert hash(ChannelPlan.from_json(plan.to_json())) == hash(plan)
    assert '"left_out": ["body.1", "body.2"]' in plan.to_json()
    with pytest.raises(PlanError, match=r"left_out: no block 'body.7' that can be left out; did you mean 'body.2'"):
        graph.plan({}, ["body.7"])
    with pytest.raises(PlanError, match=r"left_out: no block 'head' that can be left out"):
        graph.matching_blocks(["head"])
    with pytest.raises(PlanError, match='under "left_out" a list of blocks if any are left out'):
        ChannelPlan.from_json('{"enter": 8, "left_out": [3]}')
