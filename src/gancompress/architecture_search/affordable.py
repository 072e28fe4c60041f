"""Plans of a space within a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from functools import lru_cache
from itertools import islice

import torch

from gancompress.architecture_search.space import SearchSpace, Values
from gancompress.channels import ChannelPlan
from gancompress.cost import amount
from gancompress.errors import BudgetError, ConfigError

_MOST_PLANS = 1_000_000
_BROUGHT_DRAWS = 30
_AT_BUDGET_DRAWS = 2_000
_AT_BUDGET_WALKS = 200


class AffordablePlans:
    """Plans of a space within a budget."""

    def __init__(
        self, space: SearchSpace, cost: Callable[[ChannelPlan], float], budget: float | None, unit: str = "MACs"
    ) -> None:
        """Check that the budget allows at least one plan.

        Args:
            space: The space.
            cost: Cost of a plan, growing with its widths.
            budget: The cost not to exceed; None for no limit.
            unit: Name of the unit of cost, for the message.

        Raises:
            BudgetError: Even the smallest plan costs more; the message says what it costs.
        """
        self.space, self.budget, self.unit = space, budget, unit
        self.cost = lru_cache(maxsize=2**16)(lambda values: float(cost(space.plan(values))))
        smallest = self.cost(space.smallest)
        if not self.fits(space.smallest):
            assert budget is not None
            raise BudgetError(
                f"budget: got {amount(budget, unit)}, but the smallest reachable cost is {amount(smallest, unit)}; "
                "raise the budget, or allow narrower choices"
            )

    def fits(self, values: Values) -> bool:
        """Return True if a plan is within the budget."""
        return self.budget is None or self.cost(values) <= self.budget

    def all(self) -> list[Values]:
        """Return all plans within the budget, the smallest first.

        Raises:
            ConfigError: There are more than a million.
        """
        plans = list(islice(self.space.within(self.fits), _MOST_PLANS + 1))
        if len(plans) > _MOST_PLANS:
            raise ConfigError(
                f"search: got more than {_MOST_PLANS:,} plans within the budget, expected fewer for an exhaustive "
                "search; choose another method, fewer choices or a lower budget"
            )
        return plans

    def first_new(
        self,
        draw: Callable[[], Values],
        taken: Container[Values],
        generator: torch.Generator,
        num_draws: int = 1_000,
        tolerance: float = 1.0,
    ) -> Values | None:
        """Return the first drawn plan that spends the budget and is not taken; None if all such plans are taken.

        A plan spends the budget if it costs at most the budget, and less by no more than a fraction of it, or if it
        has no slot that could be one choice wider. If num_draws draws give none, some draws are adjusted: they are
        narrowed, one random slot after another, until they are within the budget, then widened in the same way. If that
        fails too, all plans are tried from the smallest on, so the search for a plan always ends.

        Args:
            draw: Function that draws a plan.
            taken: Plans to skip.
            generator: Random generator of the slots that are narrowed and widened.
            num_draws: Draws that are accepted or rejected without adjustment.
            tolerance: Largest shortfall of the cost below the budget, as a fraction of the budget; with 1 every plan
                within the budget counts.
        """
        floor = self._floor(tolerance)
        for _ in range(num_draws):
            values = draw()
            if values not in taken and self.fits(values) and self.cost(values) >= floor:
                return values
        brought = (self._brought(draw(), floor, generator) for _ in range(_BROUGHT_DRAWS))
        below = []
        for values in (values for values in brought if values not in taken):
            if self.cost(values) >= floor:
                return values
            below.append(values)
        if below:
            return max(below, key=self.cost)
        left = (values for values in self.space.within(self.fits) if values not in taken)
        return next((values for values in left if self._spends(values, floor)), None)

    def at_budget(self, draw: Callable[[], Values], tolerance: float, generator: torch.Generator) -> Values:
        """Return a random plan that costs at most the budget, and less by no more than a fraction of it.

        It is the first draw that does. If few or none do, as with a budget far from the cost of usual draws, draws are
        adjusted: they are narrowed, one random slot after another, until they are within the budget, then widened while
        that keeps them within it.

        Args:
            draw: Function that draws a plan.
            tolerance: Largest shortfall of the cost below the budget, as a fraction of the budget.
            generator: Random generator of the slots that are narrowed and widened.

        Raises:
            ConfigError: There is no budget.
            BudgetError: No plan was found; the message names the closest one.
        """
        if self.budget is None:
            raise ConfigError("search: got no budget, expected one for a random plan at the budget; give a budget")
        floor = self._floor(tolerance)
        for _ in range(_AT_BUDGET_DRAWS):
            values = draw()
            if floor <= self.cost(values) <= self.budget:
                return values
        closest = self.space.smallest
        for _ in range(_AT_BUDGET_WALKS):
            values = self._brought(draw(), floor, generator)
            if self.cost(values) >= floor:
                return values
            closest = max(closest, values, key=self.cost)
        closest_cost, least, most = (amount(cost, self.unit) for cost in (self.cost(closest), floor, self.budget))
        raise BudgetError(
            f"search: got no plan that costs {least} to {most}, expected one; the closest, {self.space.text(closest)}, "
            f"costs {closest_cost}: raise budget_tolerance, or allow more choices"
        )

    def _floor(self, tolerance: float) -> float:
        return -math.inf if self.budget is None else (1 - tolerance) * self.budget

    def _spends(self, values: Values, floor: float) -> bool:
        return self.cost(values) >= floor or not any(map(self.fits, self.space.wider(values)))

    def _brought(self, values: Values, floor: float, generator: torch.Generator) -> Values:
        """Narrow a plan until it is within the budget, then widen it until it spends the budget."""
        while not self.fits(values):
            values = self._one_of(self.space.narrower(values), generator)
        while self.cost(values) < floor and (wider := list(filter(self.fits, self.space.wider(values)))):
            values = self._one_of(wider, generator)
        return values

    def _one_of(self, plans: Sequence[Values], generator: torch.Generator) -> Values:
        return plans[int(torch.randint(len(plans), (), generator=generator))]


def plans_at_budget(
    space: SearchSpace,
    cost: Callable[[ChannelPlan], float],
    budget: float,
    count: int,
    *,
    tolerance: float,
    seed: int = 0,
    unit: str = "MACs",
) -> list[Values]:
    """Return different random plans at a budget.

    Args:
        space: The space.
        cost: Cost of a plan, growing with its widths.
        budget: The cost that none exceeds.
        count: Number of plans.
        tolerance: Largest shortfall of their costs below the budget, as a fraction of the budget; a plan without a slot
            that could be wider counts, too.
        seed: Seed of the draws.
        unit: Name of the unit of cost, for messages.

    Raises:
        BudgetError: There are fewer.
    """
    plans, generator = AffordablePlans(space, cost, budget, unit), torch.Generator().manual_seed(seed)
    found: list[Values] = []
    while len(found) < count:
        values = plans.first_new(lambda: space.sample(generator), found, generator, tolerance=tolerance)
        if values is None:
            raise BudgetError(
                f"search: got {len(found)} plans that cost {amount((1 - tolerance) * budget, unit)} to "
                f"{amount(budget, unit)}, expected {count}; raise budget_tolerance, or allow more choices"
            )
        found.append(values)
    return found
