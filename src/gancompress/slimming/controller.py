"""What makes a network reach its budget: the weight of the penalty while it trains, a common threshold at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.errors import BudgetError

_CLOSE, _MOST_MORE = 0.99, 32

Cost = Callable[[ChannelPlan], float]


class PenaltyController:
    """Steers the weight of a sparsity penalty so that the cost falls along a course, and stops it at the budget.

    The course is a straight line in the logarithm of the cost, from full width at the start to the budget at the end.
    Behind it the weight grows by a power of how far, ahead of it it falls in the same way, so that it hardly matters
    what it begins with.
    """

    _LARGEST_FACTOR = 2.0

    def __init__(self, weight: float, full: float, budget: float, gain: float = 0.5) -> None:
        """Set out.

        Args:
            weight: Of the penalty at the start, above 0.
            full: Cost at full width.
            budget: Cost to come down to.
            gain: The power: one correction multiplies the weight by (cost / course) ** gain, at most 2, at least 1/2.
        """
        self.weight, self._full, self._budget, self._gain = weight, full, budget, gain

    def update(self, progress: float, cost: float) -> float:
        """The weight from now on; 0 once the budget is met.

        Args:
            progress: How far the course is run, 0 to 1; behind its end the course stays at the budget.
            cost: Of the channels that are alive.
        """
        if cost <= self._budget:
            return 0.0
        course = self._full * (self._budget / self._full) ** min(1.0, progress)
        largest = self._LARGEST_FACTOR
        self.weight *= min(largest, max(1 / largest, (cost / course) ** self._gain))
        return self.weight


def plan_of(graph: ChannelGraph, dead: Mapping[str, Tensor]) -> ChannelPlan:
    """How many channels of each group are alive; at least the narrowest that is legal.

    Args:
        graph: The network's graph.
        dead: For each group bool ``(size,)``; groups not named are alive.
    """
    return graph.plan({name: max(graph.groups[name].minimum, int((~gone).sum())) for name, gone in dead.items()})


def at_zero(magnitudes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The channels whose scale is 0, bool ``(size,)`` for each group.

    Args:
        magnitudes: Scale of each channel, ``(size,)`` for each group.
    """
    return {name: values == 0 for name, values in magnitudes.items()}


def largest_within(
    graph: ChannelGraph, magnitudes: Mapping[str, Tensor], cost: Cost, budget: float, amount: float
) -> float:
    """The largest amount, up to the one wanted, by which scales may shrink so that the cost stays above the budget.

    The channel that would pass it is left to `weakest_within`, which looks for one that fits better.

    Args:
        graph: The network's graph.
        magnitudes: Scale of each channel, ``(size,)`` for each group that may lose channels.
        cost: Cost of a plan, growing with its widths.
        budget: The cost not to go below.
        amount: The amount wanted, at least 0.
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
    graph: ChannelGraph, magnitudes: Mapping[str, Tensor], cost: Cost, budget: float, unit: str
) -> dict[str, Tensor]:
    """The channels below the lowest threshold that meets a budget, but for those that fit into what is left of it.

    The threshold is found by bisection; then the removed channels are tried again, the strongest first. Where single
    channels are so large that much is left over, a few more are removed before that.

    Args:
        graph: The network's graph.
        magnitudes: Scale of each channel, ``(size,)`` for each group that may lose channels.
        cost: Cost of a plan, growing with its widths.
        budget: The cost not to exceed.
        unit: Name of the unit of cost, for the message.

    Returns:
        Which channels go, bool ``(size,)`` for each group.

    Raises:
        BudgetError: Even the narrowest network costs more.
    """
    check_reachable(graph, magnitudes, cost, budget, unit)
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
    """What goes, but for living channels that fit into the budget, the strongest first."""
    removed = [(float(magnitudes[name][i]), name, i) for name, each in gone.items() for i in each.nonzero()[:, 0]]
    for magnitude, name, i in sorted(removed, key=lambda each: each[0], reverse=True):
        gone[name][i] = False
        if not magnitude or cost(plan_of(graph, gone)) > budget:
            gone[name][i] = True
    return gone


def _fewest_within(
    graph: ChannelGraph, magnitudes: Mapping[str, Tensor], ranked: Tensor, cost: Cost, budget: float
) -> int:
    """How many of the weakest channels must go at least to meet a budget, by bisection; all where none meets it."""
    low, high = 0, len(ranked)
    while low < high:
        middle = (low + high) // 2
        if cost(plan_of(graph, _below(magnitudes, ranked, middle))) <= budget:
            high = middle
        else:
            low = middle + 1
    return low


def _below(magnitudes: Mapping[str, Tensor], ranked: Tensor, count: int) -> dict[str, Tensor]:
    """The weakest channels, this many of them and those as weak as the last."""
    if count == 0:
        return {name: torch.zeros_like(values, dtype=torch.bool) for name, values in magnitudes.items()}
    return {name: values <= ranked[count - 1] for name, values in magnitudes.items()}


def check_reachable(graph: ChannelGraph, groups: Iterable[str], cost: Cost, budget: float, unit: str) -> None:
    """See that a network whose groups of these names are at their narrowest meets a budget.

    Raises:
        BudgetError: It costs more.
    """
    smallest = cost(graph.plan({name: graph.groups[name].minimum for name in groups}))
    if smallest > budget:
        raise BudgetError(
            f"budget: got {budget:,.0f} {unit}, but the smallest reachable cost is {smallest:,.0f} {unit}: the rest "
            "belongs to channels that are not pruned; raise the budget, lower minimum, or allow residual streams "
            "(streams: true)"
        )
