"""Search for the widest plan within a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from gancompress.channels import ChannelGraph, ChannelPlan, Slot
from gancompress.errors import BudgetError


def widest_plan(
    graph: ChannelGraph,
    measure: Callable[[ChannelPlan], float],
    budget: float,
    unit: str = "MACs",
    left_out: Iterable[str] = (),
) -> ChannelPlan:
    """Return a plan within a budget that keeps about the same fraction of every group.

    The widest affordable uniform plan comes first; the rest of the budget then widens single groups, the one that keeps
    the smallest fraction first, until no group can be widened. Groups tied by slots are widened together.

    Args:
        graph: The graph.
        measure: Cost of a plan, growing with its widths.
        budget: The cost not to exceed, in the unit of ``measure``.
        unit: Name of that unit, for messages.
        left_out: Blocks that every plan leaves out.

    Raises:
        BudgetError: Even the narrowest legal plan costs more; the message states its cost.
    """
    left_out = frozenset(left_out)
    if left_out:
        plan = widest_plan(graph, lambda plan: measure(plan.leaving_out(left_out)), budget, unit)
        return plan.leaving_out(left_out)
    smallest = measure(graph.smallest_plan())
    if smallest > budget:
        raise BudgetError(
            f"budget: got {amount(budget, unit)}, but the smallest reachable cost is {amount(smallest, unit)}; "
            "raise the budget, or allow smaller minimum widths"
        )
    return filled_plan(graph, measure, budget, _widest_uniform(graph, measure, budget))


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

    The group that keeps the smallest fraction of its channels comes first, and is widened by one legal width; groups
    tied by a slot are widened together.

    Args:
        graph: The graph, which defines the legal widths.
        measure: Cost of a plan, growing with its widths.
        budget: The cost not to exceed, in the unit of ``measure``.
        plan: A plan within the budget.
    """
    alone = (Slot(name, (name,)) for name in graph.groups if not any(name in slot.groups for slot in graph.slots))
    choices = {slot: graph.slot_choices(slot) for slot in (*graph.slots, *alone)}

    def value(slot: Slot) -> int:
        return plan.widths[slot.groups[0]] // slot.multipliers[slot.groups[0]]

    open_slots = [slot for slot, values in choices.items() if value(slot) < values[-1]]
    while open_slots:
        slot = min(open_slots, key=lambda s: value(s) / choices[s][-1])
        wider = next(choice for choice in choices[slot] if choice > value(slot))
        widened = {**plan.widths, **{name: m * wider for name, m in slot.multipliers.items()}}
        candidate = graph.plan(widened, plan.left_out)
        if measure(candidate) <= budget:
            plan = candidate
        if plan is not candidate or wider == choices[slot][-1]:
            open_slots.remove(slot)
    return plan
