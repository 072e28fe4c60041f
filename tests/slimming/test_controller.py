"""The penalty follows its course to the budget; the threshold is the lowest that meets it."""

from __future__ import annotations

import pytest
import torch

from gancompress.channels import trace
from gancompress.cost import CostModel
from gancompress.errors import BudgetError
from gancompress.models.families import build
from gancompress.slimming import PenaltyController, Removal, at_zero, largest_within, plan_of, weakest_within


def graph_and_cost():
    example = (torch.zeros(1, 3, 16, 16),)
    graph = trace(build("resnet_6blocks", {"ngf": 8}), example, multiple=1, minimum=1)
    model = CostModel(graph)
    return graph, lambda plan: float(model.macs(plan).true)


def test_the_weight_rises_behind_the_course_falls_ahead_of_it_and_ends_at_the_budget():
    controller = PenaltyController(0.01, full=100.0, budget=1.0, step=2.0)
    assert controller.update(0.5, cost=20.0) == 0.02  # the course is at 10
    assert controller.update(0.5, cost=5.0) == 0.01
    assert controller.update(2.0, cost=1.01) == 0.02  # behind its end
    assert controller.update(1.0, cost=1.0) == 0.0


@pytest.mark.parametrize("share", [0.8, 0.5, 0.2])
def test_the_threshold_meets_the_budget_and_one_channel_less_would_not(share):
    graph, cost = graph_and_cost()
    torch.manual_seed(1)
    magnitudes = {name: torch.rand(group.size) for name, group in graph.groups.items()}
    budget = share * cost(graph.full_plan())
    gone = weakest_within(graph, magnitudes, cost, budget, "true MACs")
    assert cost(plan_of(graph, gone)) <= budget
    strongest = max((values[gone[name]].max(), name) for name, values in magnitudes.items() if gone[name].any())
    kept = {name: gone[name] & (values < strongest[0]) for name, values in magnitudes.items()}
    assert cost(plan_of(graph, kept)) > budget
    assert cost(plan_of(graph, gone)) > 0.95 * budget


def shrunk(magnitudes, amount):
    return {name: (values - amount).clamp_min(0) for name, values in magnitudes.items()}


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_no_amount_takes_more_channels_than_the_budget_asks_for(share):
    graph, cost = graph_and_cost()
    torch.manual_seed(1)
    magnitudes = {name: torch.rand(group.size) for name, group in graph.groups.items()}
    budget = share * cost(graph.full_plan())
    needed = plan_of(graph, weakest_within(graph, magnitudes, cost, budget, "true MACs"))
    amount = largest_within(graph, magnitudes, cost, budget, 10.0)
    assert plan_of(graph, at_zero(shrunk(magnitudes, amount))) == needed
    small = 0.5 * amount
    assert largest_within(graph, magnitudes, cost, budget, small) == small
    assert largest_within(graph, shrunk(magnitudes, amount), cost, budget, 10.0) == 0  # the budget is met
    assert largest_within(graph, magnitudes, cost, 2 * cost(graph.full_plan()), 10.0) == 0


def test_a_group_keeps_its_narrowest_width():
    graph, _ = graph_and_cost()
    name, group = next(iter(graph.groups.items()))
    dead = {name: torch.ones(group.size, dtype=torch.bool)}
    assert plan_of(graph, dead).widths[name] == Removal.of(graph, dead).plan.widths[name] == 1
    assert Removal.of(graph.constrain(multiple=1, minimum=group.size), dead).is_empty()


def test_a_budget_below_the_rest_is_refused():
    graph, cost = graph_and_cost()
    name, group = next(iter(graph.groups.items()))
    with pytest.raises(BudgetError, match="got 1,000 true MACs, but the smallest reachable cost is"):
        weakest_within(graph, {name: torch.ones(group.size)}, cost, 1000.0, "true MACs")
