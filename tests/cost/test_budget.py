"""Plans within a budget."""

from __future__ import annotations

import pytest

from gancompress.channels import trace
from gancompress.cost import CostModel, widest_uniform_plan
from gancompress.errors import BudgetError
from tests.channels.cases import make


@pytest.fixture(scope="module")
def graph():
    wide, inputs = make("resnet_6blocks")
    return trace(wide, inputs, multiple=1, minimum=2)


@pytest.mark.parametrize("share", [0.95, 0.5, 0.2, 0.1])
def test_the_plan_is_the_widest_affordable_one(graph, share):
    cost = CostModel(graph)

    def macs(plan):
        return cost.macs(plan).true

    budget = share * macs(graph.full_plan())
    best = max(
        (graph.uniform_plan(i / 1000) for i in range(1001) if macs(graph.uniform_plan(i / 1000)) <= budget), key=macs
    )
    assert macs(widest_uniform_plan(graph, macs, budget)) == macs(best)


def test_a_budget_above_the_full_cost_keeps_everything(graph):
    plan = widest_uniform_plan(graph, lambda plan: CostModel(graph).at(plan).parameters, 1e12, "parameters")
    assert plan == graph.full_plan()


def test_an_infeasible_budget_says_the_smallest_reachable_cost(graph):
    cost = CostModel(graph)
    smallest = cost.macs(graph.smallest_plan()).true
    with pytest.raises(BudgetError, match=f"got 1,000 MACs, but the smallest reachable cost is {smallest:,} MACs"):
        widest_uniform_plan(graph, lambda plan: cost.macs(plan).true, 1000)
