"""Result of a search."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from gancompress.architecture_search.options import Objective
from gancompress.architecture_search.space import Values
from gancompress.channels import ChannelPlan


@dataclass(frozen=True)
class Candidate:
    """An evaluated plan.

    Attributes:
        index: Position in the order of proposals.
        values: One value for each slot of the space.
        text: The same, joined by ``_``.
        plan: The same as widths of channel groups.
        cost: Cost in the unit of the search.
        metrics: Metrics that the evaluation returned.
        seconds: Seconds of the parts of its evaluation, if the caller reports them. Equal candidates may differ in it.
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
    """All candidates of a search; all are within its budget.

    Attributes:
        objective: Objective of the search.
        budget: The cost that no candidate exceeds; None for no limit.
        candidates: The candidates in the order of their proposals.
    """

    objective: Objective
    budget: float | None
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate | None:
        """The best candidate, of equal ones the cheapest; None if no metric is a finite number."""
        front = self.front
        return front[-1] if front else None

    @property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates that no other one dominates in cost and quality, the cheapest first.

        Of candidates that are equal in both, it has the one that was proposed first.
        """
        return pareto_front(self.candidates, self.objective)

    def to_json(self) -> str:
        """Return the result as one JSON object.

        Best and front name candidates by their text; a metric that is not a finite number is null.
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
                    **({"left_out": sorted(candidate.plan.left_out)} if candidate.plan.left_out else {}),
                    "cost": candidate.cost,
                    "metrics": {name: x if math.isfinite(x) else None for name, x in candidate.metrics.items()},
                    "seconds": candidate.seconds,
                }
                for candidate in self.candidates
            ],
        }
        return json.dumps(content, indent=1, allow_nan=False)


def pareto_front(candidates: Iterable[Candidate], objective: Objective) -> tuple[Candidate, ...]:
    """Return the front of candidates; see `SearchResult.front`."""
    scored = sorted((c.cost, objective.score(c.metrics), c.index, c) for c in candidates)
    front: list[Candidate] = []
    best = math.inf
    for _, score, _, candidate in scored:
        if score < best:
            best = score
            front.append(candidate)
    return tuple(front)
