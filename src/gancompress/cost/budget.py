"""The widest plan within a budget."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.errors import BudgetError


def widest_uniform_plan(
    graph: ChannelGraph, measure: Callable[[ChannelPlan], float], budget: float, unit: str = "MACs"
) -> ChannelPlan:
    """The widest plan within a budget among those that keep the same fraction of every group.

    Args:
        graph: The graph.
        measure: Cost of a plan, growing with its widths.
        budget: The cost not to exceed, in the unit of ``measure``.
        unit: Name of that unit, for the message.

    Raises:
        BudgetError: Even the narrowest legal plan costs more; the message says what it costs.
    """
    smallest = measure(graph.smallest_plan())
    if smallest > budget:
        raise BudgetError(
            f"budget: got {budget:,.0f} {unit}, but the smallest reachable cost is {smallest:,.0f} {unit}; "
            "raise the budget, or allow smaller minimum widths"
        )
    fractions = sorted({choice / group.size for group in graph.groups.values() for choice in group.choices})
    low, high = 0, len(fractions)  # fractions[low] is affordable or the narrowest, fractions[high] is not
    while high - low > 1:
        middle = (low + high) // 2
        if measure(graph.uniform_plan(fractions[middle])) <= budget:
            low = middle
        else:
            high = middle
    plan = graph.uniform_plan(fractions[low]) if fractions else graph.full_plan()
    return plan if measure(plan) <= budget else graph.smallest_plan()
