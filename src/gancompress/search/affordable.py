"""The plans of a space that a budget allows."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import lru_cache
from itertools import islice

import torch

from gancompress.channels import ChannelPlan
from gancompress.cost import amount
from gancompress.errors import BudgetError, ConfigError
from gancompress.search.space import SearchSpace, Values

_MOST_PLANS = 1_000_000
_NARROWED_DRAWS = 20
_AT_BUDGET_DRAWS = 2_000
_AT_BUDGET_WALKS = 200


class AffordablePlans:
    """The plans of a space within a budget."""

    def __init__(
        self, space: SearchSpace, cost: Callable[[ChannelPlan], float], budget: float | None, unit: str = "MACs"
    ) -> None:
        """Check that there are any.

        Args:
            space: The space.
            cost: Cost of a plan, growing with its widths.
            budget: The cost not to exceed; None: there is no limit.
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
        """Whether a plan is within the budget."""
        return self.budget is None or self.cost(values) <= self.budget

    def all(self) -> list[Values]:
        """All of them, the smallest first.

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
        self, draw: Callable[[], Values], taken: Container[Values], generator: torch.Generator, num_draws: int = 1_000
    ) -> Values | None:
        """The first draw that is within the budget and not taken; None where every affordable plan is taken.

        Where num_draws do not bring one, some are narrowed, one random slot after the other, until they are within the
        budget; where that does not help either, the plans are gone through from the smallest. So it always ends.
        """
        for _ in range(num_draws):
            values = draw()
            if values not in taken and self.fits(values):
                return values
        for _ in range(_NARROWED_DRAWS):
            values = self._narrowed(draw(), generator)
            if values not in taken:
                return values
        return next((values for values in self.space.within(self.fits) if values not in taken), None)

    def at_budget(self, draw: Callable[[], Values], tolerance: float, generator: torch.Generator) -> Values:
        """A random plan that costs at most the budget, and less by no more than a fraction of it.

        The first draw that does. Where few or none do, as with a budget far from what draws usually cost, draws are
        brought there: narrowed, one random slot after the other, until they are within the budget, then widened
        while that keeps them within it.

        Args:
            draw: Draws a plan.
            tolerance: How far below the budget the cost may lie, as a fraction of the budget.
            generator: Decides which slots are narrowed and widened.

        Raises:
            ConfigError: There is no budget.
            BudgetError: No plan was found; the message says which came closest.
        """
        if self.budget is None:
            raise ConfigError("search: got no budget, expected one for a random plan at the budget; give a budget")
        floor = (1 - tolerance) * self.budget
        for _ in range(_AT_BUDGET_DRAWS):
            values = draw()
            if floor <= self.cost(values) <= self.budget:
                return values
        closest = self.space.smallest
        for _ in range(_AT_BUDGET_WALKS):
            values = self._widened(self._narrowed(draw(), generator), floor, generator)
            if self.cost(values) >= floor:
                return values
            closest = max(closest, values, key=self.cost)
        closest_cost, least, most = (amount(cost, self.unit) for cost in (self.cost(closest), floor, self.budget))
        raise BudgetError(
            f"search: got no plan that costs {least} to {most}, expected one; the closest, {self.space.text(closest)}, "
            f"costs {closest_cost}: raise budget_tolerance, or allow more choices"
        )

    def _widened(self, values: Values, floor: float, generator: torch.Generator) -> Values:
        while self.cost(values) < floor:
            wider = [other for other in self.space.wider(values) if self.fits(other)]
            if not wider:
                break
            values = wider[int(torch.randint(len(wider), (), generator=generator))]
        return values

    def _narrowed(self, values: Values, generator: torch.Generator) -> Values:
        while not self.fits(values):
            narrower = self.space.narrower(values)
            values = narrower[int(torch.randint(len(narrower), (), generator=generator))]
        return values
