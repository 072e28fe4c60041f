"""Plans within a budget."""

from __future__ import annotations

import random as random_module

import pytest

from gancompress.channels import trace
from gancompress.cost import CostModel, filled_plan, widest_plan
from gancompress.errors import BudgetError
from tests.channels.cases import make


@pytest.fixture(scope="module")
def graph():
    wide, inputs = make("resnet_6blocks")
    return trace(wide, inputs, multiple=1, minimum=2)


@pytest.mark.parametrize("share", [0.95, 0.5, 0.2, 0.1])
def test_the_budget_is_used_and_kept(graph, share):
    cost = CostModel(graph)

    def macs(plan):
        return cost.macs(plan).true

    budget = share * macs(graph.full_plan())
    plan = widest_plan(graph, macs, budget)
    uniform = [graph.uniform_plan(i / 1000) for i in range(1001)]
    assert max(macs(p) for p in uniform if macs(p) <= budget) <= macs(plan) <= budget
    for name, group in graph.groups.items():
        wider = [choice for choice in group.choices if choice > plan.widths[name]]
        assert not wider or macs(graph.plan({**plan.widths, name: wider[0]})) > budget


def test_a_budget_above_the_full_cost_keeps_everything(graph):
    plan = widest_plan(graph, lambda plan: CostModel(graph).at(plan).parameters, 1e12, "parameters")
    assert plan == graph.full_plan()


def test_an_infeasible_budget_says_the_smallest_reachable_cost(graph):
    cost = CostModel(graph)
    smallest = cost.macs(graph.smallest_plan()).true
    with pytest.raises(BudgetError, match=f"got 1,000 MACs, but the smallest reachable cost is {smallest:,} MACs"):
        widest_plan(graph, lambda plan: cost.macs(plan).true, 1000)


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_is_filled_until_nothing_wider_fits(graph, seed):
    cost, random = CostModel(graph), random_module.Random(seed)
    plan = graph.plan({name: random.choice(group.choices) for name, group in graph.groups.items()})
    budget = 1.3 * cost.macs(plan).true
    filled = filled_plan(graph, lambda plan: cost.macs(plan).true, budget, plan)
    assert cost.macs(filled).true <= budget
    for name, group in graph.groups.items():
        assert filled.widths[name] >= plan.widths[name]
        wider = [choice for choice in group.choices if choice > filled.widths[name]]
        assert not wider or cost.macs(graph.plan({**filled.widths, name: wider[0]})).true > budget
