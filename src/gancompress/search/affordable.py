"""The plans of a space that a budget allows."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import lru_cache
from itertools import islice

import torch

from gancompress.channels import ChannelPlan
from gancompress.errors import BudgetError, ConfigError
from gancompress.search.space import SearchSpace, Values

_MOST_PLANS = 1_000_000
_NARROWED_DRAWS = 20


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
        self.space, self.budget = space, budget
        self.cost = lru_cache(maxsize=2**16)(lambda values: float(cost(space.plan(values))))
        smallest = self.cost(space.smallest)
        if not self.fits(space.smallest):
            raise BudgetError(
                f"budget: got {budget:,.0f} {unit}, but the smallest reachable cost is {smallest:,.0f} {unit}; "
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

    def _narrowed(self, values: Values, generator: torch.Generator) -> Values:
        while not self.fits(values):
            narrower = self.space.narrower(values)
            values = narrower[int(torch.randint(len(narrower), (), generator=generator))]
        return values
