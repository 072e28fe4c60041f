"""Control of the cost: the weight of the penalty while a network trains, and a common threshold at the end.

Channels are named by their group, blocks by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from gancompress.channels import ChannelGraph, ChannelPlan

NARROWEST = 3
"""The narrowest width that a recipe may set as the minimum of its groups."""

_CLOSE, _MOST_MORE = 0.99, 32

Cost = Callable[[ChannelPlan], float]


class PenaltyController:
    """Controller of the weight of a sparsity penalty; it makes the cost follow a schedule down to the budget.

    The schedule is a straight line in the logarithm of the cost, from full width at the start to the budget at the end.
    If the cost is above the schedule, the weight grows by a power of their ratio; below it, the weight falls in the
    same way. So the initial weight hardly matters if there are corrections enough.
    """

    _LARGEST_FACTOR = 2.0

    def __init__(self, weight: float, full: float, budget: float, gain: float = 0.5) -> None:
        """Take the costs at both ends of the schedule.

        Args:
            weight: Initial weight of the penalty, above 0.
            full: Cost at full width.
            budget: Cost at the end.
            gain: The power: one correction multiplies the weight by (cost / scheduled cost) ** gain, within [1/2, 2].
        """
        self.weight, self._full, self._budget, self._gain = weight, full, budget, gain

    def update(self, progress: float, cost: float) -> float:
        """Return the weight from now on; 0 once the budget is met.

        Args:
            progress: Fraction of the schedule that is over, 0 to 1; beyond its end it stays at the budget.
            cost: Cost of the living channels.
        """
        if cost <= self._budget:
            return 0.0
        target = self._full * (self._budget / self._full) ** min(1.0, progress)
        largest = self._LARGEST_FACTOR
        self.weight *= min(largest, max(1 / largest, (cost / target) ** self._gain))
        return self.weight


def plan_of(graph: ChannelGraph, dead: Mapping[str, Tensor]) -> ChannelPlan:
    """Return the plan of the living channels and blocks; each group keeps its narrowest legal width, or its slot's.

    Args:
        graph: The network's graph.
        dead: For each group bool ``(size,)``, and for each block bool ``(1,)``; those not named are alive.
    """
    groups = {name: gone for name, gone in dead.items() if name in graph.groups}
    widths = {name: max(graph.groups[name].minimum, int((~gone).sum())) for name, gone in groups.items()}
    return graph.plan(graph.tied(widths), (name for name, gone in dead.items() if name not in groups and gone))


def at_zero(magnitudes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the channels whose scale is 0, bool ``(size,)`` for each group, and the same of blocks, ``(1,)``.

    Args:
        magnitudes: Scale of each channel, ``(size,)`` for each group, and of each block, ``(1,)``.
    """
    return {name: values == 0 for name, values in magnitudes.items()}


def largest_within(
    graph: ChannelGraph, magnitudes: Mapping[str, Tensor], cost: Cost, budget: float, amount: float
) -> float:
    """Return the largest shrinkage of the scales, up to the given amount, with which the cost stays above the budget.

    The channel or block that would cross the budget is left to `weakest_within`, which finds one that fits better.

    Args:
        graph: The network's graph.
        magnitudes: Scale of each channel, ``(size,)`` for each group that may lose channels, and of each block that may
            be left out, ``(1,)``.
        cost: Cost of a plan, growing with its widths.
        budget: The cost not to go below.
        amount: The desired amount, at least 0.
    """
    if (
        not magnitudes
        or cost(plan_of(graph, {name: values <= amount for name, values in magnitudes.items()})) >= budget
    ):
        return amount
    ranked = torch.cat([values.flatten() for values in magnitudes.values()]).sort().values
    count = _fewest_within(graph, magnitudes, ranked, cost, budget) - 1
    return float(ranked[count - 1]) if count > 0 else 0.0


def weakest_within(
    graph: ChannelGraph, magnitudes: Mapping[str, Tensor], cost: Cost, budget: float
) -> dict[str, Tensor]:
    """Return the weakest channels and blocks whose removal meets a budget, but for those that fit into its remainder.

    The threshold is found by bisection; then what was removed is restored if it fits, the strongest first. If single
    channels are so large that much of the budget is left, the threshold is raised by a few more channels.

    Args:
        graph: The network's graph.
        magnitudes: Scale of each channel, ``(size,)`` for each group that may lose channels, and of each block that may
            be left out, ``(1,)``.
        cost: Cost of a plan, growing with its widths.
        budget: The cost not to exceed, at least `narrowest_cost`.

    Returns:
        The channels to remove, bool ``(size,)`` for each group, and the blocks, bool ``(1,)``.
    """
    if not magnitudes:
        return {}
    ranked = torch.cat([values.flatten() for values in magnitudes.values()]).sort().values
    fewest = _fewest_within(graph, magnitudes, ranked, cost, budget)
    costs, found = [], []
    for count in range(fewest, min(len(ranked), fewest + _MOST_MORE) + 1):
        found.append(_refilled(graph, magnitudes, _below(magnitudes, ranked, count), cost, budget))
        costs.append(cost(plan_of(graph, found[-1])))
        if costs[-1] > _CLOSE * budget:
            break
    return found[costs.index(max(costs))]


def _refilled(
    graph: ChannelGraph, magnitudes: Mapping[str, Tensor], gone: dict[str, Tensor], cost: Cost, budget: float
) -> dict[str, Tensor]:
    """Undo the strongest removals of living channels and blocks that still fit the budget."""
    removed = [(float(magnitudes[name][i]), name, i) for name, each in gone.items() for i in each.nonzero()[:, 0]]
    for magnitude, name, i in sorted(removed, key=lambda each: each[0], reverse=True):
        gone[name][i] = False
        if not magnitude or cost(plan_of(graph, gone)) > budget:
            gone[name][i] = True
    return gone


def _fewest_within(
    graph: ChannelGraph, magnitudes: Mapping[str, Tensor], ranked: Tensor, cost: Cost, budget: float
) -> int:
    """Return the smallest number of weakest channels whose removal meets a budget; all of them if none does."""
    low, high = 0, len(ranked)
    while low < high:
        middle = (low + high) // 2
        if cost(plan_of(graph, _below(magnitudes, ranked, middle))) <= budget:
            high = middle
        else:
            low = middle + 1
    return low


def _below(magnitudes: Mapping[str, Tensor], ranked: Tensor, count: int) -> dict[str, Tensor]:
    """Return this many of the weakest channels, and those as weak as the last of them."""
    if count == 0:
        return {name: torch.zeros_like(values, dtype=torch.bool) for name, values in magnitudes.items()}
    return {name: values <= ranked[count - 1] for name, values in magnitudes.items()}


def narrowest_cost(graph: ChannelGraph, names: Iterable[str], cost: Cost) -> float:
    """Return the cost of a network with these groups at their narrowest, and without these blocks.

    Args:
        graph: The network's graph.
        names: The groups and blocks.
        cost: Cost of a plan, growing with its widths.
    """
    return cost(plan_of(graph, {name: torch.ones(1, dtype=torch.bool) for name in names}))
