"""What a search found."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from gancompress.channels import ChannelPlan
from gancompress.search.options import Objective
from gancompress.search.space import Values


@dataclass(frozen=True)
class Candidate:
    """A plan that was evaluated.

    Attributes:
        index: Its place in the order of proposals.
        values: One value for each slot of the space.
        text: The same, joined by ``_``.
        plan: The same as widths of channel groups.
        cost: In the unit of the search's cost.
        metrics: What the evaluation returned.
        seconds: What its parts took, where the caller of the search said so. Equal candidates may differ in it.
    """

    index: int
    values: Values
    text: str
    plan: ChannelPlan
    cost: float
    metrics: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class SearchResult:
    """All candidates of a search, which are all within its budget.

    Attributes:
        objective: What was searched for.
        budget: The cost that no candidate exceeds; None: there was no limit.
        candidates: In the order of their proposals.
    """

    objective: Objective
    budget: float | None
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate | None:
        """The best candidate, of equal ones the cheapest; None where no metric is a finite number."""
        front = self.front
        return front[-1] if front else None

    @property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates with none at least as cheap and as good, and better in one; the cheapest first.

        Of candidates that are equal in both, the first proposed.
        """
        return pareto_front(self.candidates, self.objective)

    def to_json(self) -> str:
        """Everything as one JSON object.

        Best and front name candidates by their text; a metric that is no finite number is null.
        """
        best = self.best
        content = {
            "objective": self.objective.model_dump(),
            "budget": self.budget,
            "best": best.text if best else None,
            "front": [candidate.text for candidate in self.front],
            "candidates": [
                {
                    "plan": candidate.text,
                    "widths": dict(candidate.plan.widths),
                    "cost": candidate.cost,
                    "metrics": {name: x if math.isfinite(x) else None for name, x in candidate.metrics.items()},
                    "seconds": candidate.seconds,
                }
                for candidate in self.candidates
            ],
        }
        return json.dumps(content, indent=1, allow_nan=False)


def pareto_front(candidates: Iterable[Candidate], objective: Objective) -> tuple[Candidate, ...]:
    """As `SearchResult.front`."""
    scored = sorted((c.cost, objective.score(c.metrics), c.index, c) for c in candidates)
    front: list[Candidate] = []
    best = math.inf
    for _, score, _, candidate in scored:
        if score < best:
            best = score
            front.append(candidate)
    return tuple(front)
