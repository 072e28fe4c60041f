"""Reordering and plans."""

from __future__ import annotations

import pytest
import torch

from gancompress.channels import ChannelPlan, Slot, materialise, narrow, reorder, trace
from gancompress.channels.skeleton import named_tensors
from gancompress.channels.slots import slots_from_widths, widths_from_slots
from gancompress.cost import CostModel
from gancompress.errors import PlanError

from .cases import CASES, graph_of, make, random_plans


@pytest.mark.parametrize("name", CASES)
def test_reordering_leaves_the_function_as_it_is(name):
    wide, inputs = make(name)
    graph = graph_of(name)
    generator = torch.Generator().manual_seed(0)
    order = {group: torch.randperm(g.size, generator=generator) for group, g in graph.groups.items()}
    reordered = materialise(wide, graph, graph.full_plan())
    before = {n: t.clone() for n, t in named_tensors(reordered).items()}
    reordered.load_state_dict(reorder(wide.state_dict(), graph, order))
    assert any(not torch.equal(before[n], t) for n, t in named_tensors(reordered).items())
    # Sums in another order; the tolerance is that of float32 at this depth, and 0.3 would be another function.
    torch.testing.assert_close(reordered(*inputs), wide(*inputs), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_the_graph_of_a_narrow_network_needs_no_trace(name):
    """It has the groups, layouts and sizes that a trace of that network finds, and costs as much in any plan."""
    wide, inputs = make(name)
    for plan in random_plans(graph_of(name).constrain(multiple=1, minimum=3), 1, left_out=0):
        found = trace(materialise(wide, graph_of(name), plan), inputs, multiple=1, minimum=1)
        narrowed = graph_of(name).narrowed(plan)
        assert dict(narrowed.groups) == dict(found.groups)
        assert dict(narrowed.tensors) == dict(found.tensors)
        for narrower in random_plans(found, 2, left_out=0):
            assert CostModel(narrowed).at(narrower) == CostModel(found).at(narrower)
            assert narrowed.narrowed(narrower).groups == graph_of(name).narrowed(narrower).groups


def test_leading_channels_are_views_and_others_are_gathered():
    wide, inputs = make("dense_concat")
    graph = trace(wide, inputs, multiple=1, minimum=1)
    small = narrow(named_tensors(wide), graph, graph.plan({"stem": 4, "convs.1": 3}))
    assert small["stem.weight"].data_ptr() == wide.stem.weight.data_ptr()
    kept = [*range(4), *range(10, 16), *range(16, 19), *range(22, 31)]
    assert torch.equal(small["squeeze.weight"], wide.squeeze.weight[:, kept])


def test_order_must_be_a_permutation():
    wide, inputs = make("dense_concat")
    graph = trace(wide, inputs)
    with pytest.raises(PlanError, match="order: 'stem' expected a permutation of 10 channels"):
        reorder(wide.state_dict(), graph, {"stem": torch.zeros(10, dtype=torch.long)})
    with pytest.raises(PlanError, match="order: no channel group 'steam'"):
        reorder(wide.state_dict(), graph, {"steam": torch.arange(10)})


def test_a_state_without_a_buffer_that_moves_is_refused():
    wide = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1), Shift(), torch.nn.Conv2d(8, 3, 1))
    graph = trace(wide, (torch.zeros(1, 3, 4, 4),), multiple=1, minimum=1)
    with pytest.raises(PlanError, match=r"state: '1.mean' is missing, which carries channels that change"):
        reorder(wide.state_dict(), graph, {"0": torch.arange(8).flip(0)})


class Shift(torch.nn.Module):
    """Subtracts a mean that no state dict holds."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(1, 8, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - self.mean


@pytest.fixture(scope="module")
def graph():
    wide, inputs = make("resnet_6blocks")
    return trace(wide, inputs)


def test_plan_errors(graph):
    with pytest.raises(PlanError, match=r"no channel group 'stem'; did you mean 'stem.conv'\?"):
        graph.plan({"stem": 8})
    with pytest.raises(PlanError, match=r"'up.1.conv' got 72, but the network has only 8 channels there"):
        graph.plan({"up.1.conv": 72})
    with pytest.raises(PlanError, match=r"'down.1.conv' got 4, expected at least 8"):
        graph.plan({"down.1.conv": 4})
    with pytest.raises(PlanError, match=r"'down.1.conv' got 13, expected a multiple of 8 or 32; the closest is 16"):
        graph.plan({"down.1.conv": 13})
    with pytest.raises(PlanError, match=r"does not fit this network; missing groups \['blocks.0.conv1'"):
        graph.validate(ChannelPlan({"stem.conv": 8}))
    with pytest.raises(PlanError, match=r"keep: got 1.5, expected a fraction between 0 and 1"):
        graph.uniform_plan(1.5)


def test_plans_are_values(graph):
    plan = graph.uniform_plan(0.5)
    assert ChannelPlan.from_json(plan.to_json()) == plan
    assert len({plan, graph.uniform_plan(0.5), graph.full_plan()}) == 2
    with pytest.raises(TypeError):
        plan.widths["stem.conv"] = 1
    with pytest.raises(PlanError, match="expected a JSON object of group names and whole numbers"):
        ChannelPlan.from_json('{"stem.conv": "8"}')
    with pytest.raises(PlanError, match="plan: not JSON"):
        ChannelPlan.from_json("16_16")


def test_uniform_plans_take_the_nearest_legal_width(graph):
    assert graph.uniform_plan(0.5).widths["down.1.conv"] == 16
    assert graph.uniform_plan(0.4).widths["down.1.conv"] == 16
    assert set(graph.smallest_plan().widths.values()) == {8}


def test_slots_tie_groups():
    wide, inputs = make("resnet_6blocks")
    blocks = tuple(f"blocks.{i}.conv1" for i in range(6))
    slots = [Slot("stream", ("down.1.conv",), 4), Slot("middle", blocks, 4)]
    graph = trace(wide, inputs, multiple=4, minimum=4, slots=slots)
    plan = graph.plan(widths_from_slots(slots, [5, 3]))
    assert plan.widths["down.1.conv"] == 20
    assert {plan.widths[block] for block in blocks} == {12}
    assert slots_from_widths(slots, plan.widths) == (5, 3)
    with pytest.raises(PlanError, match=r"slot middle: its groups have widths \[12, 32\], expected one value for all"):
        graph.plan({"blocks.0.conv1": 12})
    with pytest.raises(PlanError, match="got 1 numbers, expected 2, one each for stream, middle"):
        widths_from_slots(slots, [5])
    with pytest.raises(PlanError, match="slot other: no channel group 'blocks'"):
        trace(wide, inputs, slots=[Slot("other", ("blocks",))])
