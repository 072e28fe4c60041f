"""Options of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gancompress.architecture_search.registry import METHODS
from gancompress.architecture_search.space import Bias
from gancompress.errors import ConfigError, nearest
from gancompress.options import Options

Fraction = Annotated[float, Field(ge=0, le=1)]


class Objective(Options):
    """Objective of a search: the metric that ranks plans.

    Attributes:
        metric: Name of a metric that the evaluation returns.
        direction: Direction in which its values are better.
    """

    metric: str
    direction: Literal["minimize", "maximize"] = "minimize"

    def score(self, metrics: Mapping[str, float]) -> float:
        """Return the score of metrics: lower is better, infinite if the metric is not a finite number.

        Raises:
            ConfigError: The metric is not among the metrics.
        """
        if self.metric not in metrics:
            raise ConfigError(
                f"objective: the evaluation has no metric '{self.metric}'; {nearest(self.metric, metrics)}"
            )
        value = metrics[self.metric] if self.direction == "minimize" else -metrics[self.metric]
        return value if math.isfinite(value) else math.inf


class SearchOptions(Options):
    """Method of a search and its numbers. The defaults of the evolution are the paper's.

    Attributes:
        method: ``exhaustive`` takes every plan within the budget, in random order; ``random`` draws plans;
            ``evolutionary`` breeds from the best plans so far; ``nsga2`` breeds the front of quality against cost;
            ``random_at_budget`` draws a single plan that costs just the budget, as a baseline for a search. Another
            package's method by the name of its entry point (``gancompress.search_methods``), or its import path.
        num_candidates: Most plans to evaluate, over all processes and resumptions; None: all of them for
            ``exhaustive``, ten populations for the others; ``random_at_budget`` has one.
        population: Plans of a generation.
        parent_fraction: Fraction of a population whose best plans are the parents of a generation.
        mutation_fraction: Fraction of a generation that mutation makes; crossover makes the others.
        mutation_rate: Probability with which mutation redraws a slot.
        bias: Bias towards narrow plans, in ``random`` and in the first generation; see `SearchSpace.sample`.
        bias_ratio: Strength of the bias.
        budget_tolerance: Largest shortfall of a plan's cost below the budget, as a fraction of it. ``random``
            and ``evolutionary`` widen narrower plans; a plan that cannot be widened within the budget is accepted
            unchanged, but not by ``random_at_budget``. With 1 they propose every plan within the budget, as
            ``exhaustive`` and ``nsga2`` do.
        stale_after_s: A candidate whose process has sent no heartbeat for this many seconds is evaluated again.
            The clocks of all machines must agree more closely than that. A process that died on the same machine is
            noticed at once.

    Source: Li et al., GAN Compression, CVPR 2020 (released code: evolution search); Deb et al., A Fast and Elitist
    Multiobjective Genetic Algorithm: NSGA-II, 2002.
    """

    method: Annotated[str, AfterValidator(METHODS.known)] = "evolutionary"
    num_candidates: Annotated[int, Field(ge=1)] | None = None
    population: Annotated[int, Field(ge=2)] = 100
    parent_fraction: Fraction = 0.25
    mutation_fraction: Fraction = 0.5
    mutation_rate: Fraction = 0.2
    bias: Bias = "uniform"
    bias_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    budget_tolerance: Fraction = 0.02
    stale_after_s: Annotated[float, Field(gt=0)] = 300.0

    @property
    def measures(self) -> bool:
        """True if the method's plans are evaluated; otherwise its first plan is taken."""
        return getattr(METHODS.find(self.method), "measures", True)

    @property
    def num_parents(self) -> int:
        """Number of plans that a generation is bred from."""
        return round(self.parent_fraction * self.population)

    @model_validator(mode="after")
    def _two_parents(self) -> Self:
        if self.num_parents < 2:
            raise ValueError(
                f"parent_fraction: {self.parent_fraction} of a population of {self.population} gives "
                f"{self.num_parents} parents, expected at least 2"
            )
        return self
