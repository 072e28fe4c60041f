"""Registry of search methods, open to other packages, and their protocol."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from gancompress.errors import ConfigError
from gancompress.registry import Registry

if TYPE_CHECKING:
    from gancompress.architecture_search.affordable import AffordablePlans
    from gancompress.architecture_search.options import Objective, SearchOptions
    from gancompress.architecture_search.result import Candidate
    from gancompress.architecture_search.space import Values


class Method(Protocol):
    """Protocol of a search method, which proposes plans.

    Attributes:
        num_candidates: Largest number of plans that it proposes.
        multi_objective: Whether it minimises the cost beside the objective.
        measures: Whether its plans are to be evaluated, True by default; otherwise the first one is taken unseen.
        generation: Plans of a generation, for a method that breeds: none of its plans is proposed before all earlier
            generations are finished, so that any number of processes find the same. None, the default, for no wait.
    """

    num_candidates: int
    multi_objective: ClassVar[bool]
    measures: ClassVar[bool] = True
    generation: int | None = None

    def __init__(self, plans: AffordablePlans, objective: Objective, options: SearchOptions, seed: int) -> None: ...

    def propose(self, index: int, finished: Sequence[Candidate], taken: AbstractSet[Values]) -> Values | None:
        """Return the plan to evaluate as the candidate of this index.

        Args:
            index: Index of the candidate, below num_candidates.
            finished: All finished candidates, by index.
            taken: Plans that are finished or under evaluation; none of them is proposed.

        Returns:
            A plan within the budget; None if all are taken.
        """
        ...


class MethodRegistry(Registry[type[Method]]):
    """Search methods by name."""

    def check(self, path: str, found: Any) -> type[Method]:
        """Return a class that proposes plans. Raises ConfigError for anything else."""
        if isinstance(found, type) and hasattr(found, "propose"):
            return found
        got = f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"
        raise ConfigError(f"{path}: got {got}, expected a class with a method 'propose'")


METHODS = MethodRegistry("search_methods", "a search method", modules=(f"{__package__}.methods",))
"""Every search method by its name."""

register_method = METHODS.register
"""Return a decorator that adds a search method under a name."""
