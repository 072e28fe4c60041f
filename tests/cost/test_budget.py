"""Plans within a budget."""

from __future__ import annotations

import pytest

from gancompress.channels import trace
from gancompress.cost import CostModel, widest_plan
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
