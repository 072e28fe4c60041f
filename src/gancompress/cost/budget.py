"""Search for the widest plan within a budget."""

from __future__ import annotations

import math
from collections.abc import Callable

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.errors import BudgetError


def widest_plan(
    graph: ChannelGraph, measure: Callable[[ChannelPlan], float], budget: float, unit: str = "MACs"
) -> ChannelPlan:
    """Return a plan within a budget that keeps about the same fraction of every group.

    The widest affordable uniform plan comes first; the rest of the budget then widens single groups, the one that keeps
    the smallest fraction first, until no group can be widened. Groups tied by slots stay uniform.

    Args:
        graph: The graph.
        measure: Cost of a plan, growing with its widths.
        budget: The cost not to exceed, in the unit of ``measure``.
        unit: Name of that unit, for messages.

    Raises:
        BudgetError: Even the narrowest legal plan costs more; the message states its cost.
    """
    smallest = measure(graph.smallest_plan())
    if smallest > budget:
        raise BudgetError(
            f"budget: got {amount(budget, unit)}, but the smallest reachable cost is {amount(smallest, unit)}; "
            "raise the budget, or allow smaller minimum widths"
        )
    plan = _widest_uniform(graph, measure, budget)
    return plan if graph.slots else filled_plan(graph, measure, budget, plan)


def amount(cost: float, unit: str) -> str:
    """Format a cost: counts as whole numbers, milliseconds rounded up to a hundredth so that they can be a budget."""
    return f"{math.ceil(100 * cost) / 100:,.2f} {unit}" if unit.startswith("ms") else f"{cost:,.0f} {unit}"


def _widest_uniform(graph: ChannelGraph, measure: Callable[[ChannelPlan], float], budget: float) -> ChannelPlan:
    fractions = sorted({0.0, *(choice / group.size for group in graph.groups.values() for choice in group.choices)})
    low, high = 0, len(fractions)  # fractions[low] is affordable, fractions[high] is not
    while high - low > 1:
        middle = (low + high) // 2
        if measure(graph.uniform_plan(fractions[middle])) <= budget:
            low = middle
        else:
            high = middle
    return graph.uniform_plan(fractions[low])


def filled_plan(
    graph: ChannelGraph, measure: Callable[[ChannelPlan], float], budget: float, plan: ChannelPlan
) -> ChannelPlan:
    """Widen a plan, one group after the other, until no group can be widened within the budget.

    The group that keeps the smallest fraction of its channels comes first, and is widened by one legal width.

    Args:
        graph: The graph, which defines the legal widths.
        measure: Cost of a plan, growing with its widths.
        budget: The cost not to exceed, in the unit of ``measure``.
        plan: A plan within the budget.
    """
    open_groups = [group for group in graph.groups.values() if plan.widths[group.name] < group.size]
    while open_groups:
        group = min(open_groups, key=lambda g: plan.widths[g.name] / g.size)
        wider = next(choice for choice in group.choices if choice > plan.widths[group.name])
        candidate = graph.plan({**plan.widths, group.name: wider})
        if measure(candidate) <= budget:
            plan = candidate
        if plan is not candidate or wider == group.size:
            open_groups.remove(group)
    return plan
