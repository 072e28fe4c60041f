"""The penalty follows its schedule to the budget; the threshold is the lowest that meets it."""

from __future__ import annotations

import pytest
import torch

from gancompress.channels import trace
from gancompress.cost import CostModel
from gancompress.networks.registry import build
from gancompress.slimming import (
    PenaltyController,
    Removal,
    at_zero,
    largest_within,
    narrowest_cost,
    plan_of,
    weakest_within,
)


def graph_and_cost():
    example = (torch.zeros(1, 3, 16, 16),)
    graph = trace(build("resnet_6blocks", {"ngf": 8}), example, multiple=1, minimum=1)
    model = CostModel(graph)
    return graph, lambda plan: float(model.macs(plan).true)


def test_the_weight_rises_behind_the_course_falls_ahead_of_it_and_ends_at_the_budget():
    controller = PenaltyController(0.01, full=100.0, budget=1.0, gain=0.5)
    assert controller.update(0.5, cost=22.5) == pytest.approx(0.015)  # the schedule is at 10
    assert controller.update(0.5, cost=4.9) == pytest.approx(0.0105)
    assert controller.update(2.0, cost=1.21) == pytest.approx(0.01155)  # behind its end
    assert controller.update(1.0, cost=1.0) == 0.0
    assert controller.update(1.0, cost=100.0) == pytest.approx(0.0231)  # at most twice as much
    assert controller.update(0.0, cost=2.0) == pytest.approx(0.01155)


@pytest.mark.parametrize("share", [0.8, 0.5, 0.2])
def test_what_is_cut_is_weak_and_no_channel_of_it_fits_into_the_budget_again(share):
    graph, cost = graph_and_cost()
    torch.manual_seed(1)
    magnitudes = {name: torch.rand(group.size) for name, group in graph.groups.items()}
    budget = share * cost(graph.full_plan())
    gone = weakest_within(graph, magnitudes, cost, budget)
    assert 0.99 * budget < cost(plan_of(graph, gone)) <= budget
    strongest_gone = max(values[gone[name]].max() for name, values in magnitudes.items() if gone[name].any())
    weaker = sum(int((values < strongest_gone).sum()) for values in magnitudes.values())
    assert sum(int(each.sum()) for each in gone.values()) > 0.9 * weaker
    for name, each in gone.items():
        for i in each.nonzero()[:, 0]:
            again = {**gone, name: each & (torch.arange(len(each)) != i)}
            if plan_of(graph, again) != plan_of(graph, gone):
                assert cost(plan_of(graph, again)) > budget


def test_dead_channels_do_not_come_back():
    graph, cost = graph_and_cost()
    magnitudes = {name: torch.zeros(group.size) for name, group in graph.groups.items()}
    gone = weakest_within(graph, magnitudes, cost, 0.5 * cost(graph.full_plan()))
    assert all(each.all() for each in gone.values())


def shrunk(magnitudes, amount):
    return {name: (values - amount).clamp_min(0) for name, values in magnitudes.items()}


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_no_amount_takes_a_channel_that_the_budget_does_not_ask_for(share):
    graph, cost = graph_and_cost()
    torch.manual_seed(1)
    magnitudes = {name: torch.rand(group.size) for name, group in graph.groups.items()}
    budget = share * cost(graph.full_plan())
    amount = largest_within(graph, magnitudes, cost, budget, 10.0)
    assert budget < cost(plan_of(graph, at_zero(shrunk(magnitudes, amount)))) < 1.05 * budget
    next_one = min(values[values > amount].min() for values in magnitudes.values() if (values > amount).any())
    assert cost(plan_of(graph, at_zero(shrunk(magnitudes, next_one)))) <= budget
    small = 0.5 * amount
    assert largest_within(graph, magnitudes, cost, budget, small) == small
    assert largest_within(graph, shrunk(magnitudes, amount), cost, budget, 10.0) == 0  # there is nothing left to take
    assert largest_within(graph, magnitudes, cost, 2 * cost(graph.full_plan()), 10.0) == 0


def test_a_group_keeps_its_narrowest_width():
    graph, _ = graph_and_cost()
    name, group = next(iter(graph.groups.items()))
    dead = {name: torch.ones(group.size, dtype=torch.bool)}
    assert plan_of(graph, dead).widths[name] == Removal.of(graph, dead).plan.widths[name] == 1
    assert Removal.of(graph.constrain(multiple=1, minimum=group.size), dead).is_empty()


@pytest.mark.parametrize("share", [0.9, 0.5, 0.3])
def test_blocks_are_weighed_with_channels(share):
    graph, cost = graph_and_cost()
    torch.manual_seed(1)
    channels = {name: torch.rand(group.size) for name, group in graph.groups.items()}
    blocks = {name: torch.rand(1) for name in graph.blocks}
    budget = share * cost(graph.full_plan())
    gone = weakest_within(graph, {**channels, **blocks}, cost, budget)
    plan = plan_of(graph, gone)
    assert 0.99 * budget < cost(plan) <= budget
    assert plan.left_out == {name for name in blocks if gone[name]} == Removal.of(graph, gone).plan.left_out
    amount = largest_within(graph, {**channels, **blocks}, cost, budget, 10.0)
    dead = at_zero(shrunk({**channels, **blocks}, amount))
    assert budget < cost(plan_of(graph, dead)) < 1.25 * budget  # a block is up to a fifth
    strong = {**blocks, "blocks.2": torch.tensor([9.0])}
    assert "blocks.2" not in plan_of(graph, weakest_within(graph, {**channels, **strong}, cost, budget)).left_out


def test_the_narrowest_network_keeps_what_is_not_named():
    graph, cost = graph_and_cost()
    full = graph.full_plan()
    name, group = next(iter(graph.groups.items()))
    assert narrowest_cost(graph, [], cost) == cost(full)
    assert narrowest_cost(graph, graph.blocks, cost) == cost(full.leaving_out(graph.blocks))
    assert narrowest_cost(graph, [name], cost) == cost(graph.plan({**full.widths, name: group.minimum}))
