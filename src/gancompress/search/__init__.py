"""Search: which plan of a space is the best within a budget. Evaluates no network itself."""

from gancompress.search.options import Objective, SearchOptions
from gancompress.search.result import Candidate, SearchResult, pareto_front
from gancompress.search.sets import CONFIG_SETS
from gancompress.search.space import Bias, SearchSpace, Values
from gancompress.search.study import search

__all__ = [
    "CONFIG_SETS",
    "Bias",
    "Candidate",
    "Objective",
    "SearchOptions",
    "SearchResult",
    "SearchSpace",
    "Values",
    "pareto_front",
    "search",
]
