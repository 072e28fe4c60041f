"""Search for the best plan of a space within a budget; it evaluates no network itself."""

from gancompress.search.affordable import plans_at_budget
from gancompress.search.masks import GeneticOptions, MaskSpace, next_generation
from gancompress.search.options import Objective, SearchOptions
from gancompress.search.result import Candidate, SearchResult, pareto_front
from gancompress.search.sets import CONFIG_SETS
from gancompress.search.space import Bias, SearchSpace, Values
from gancompress.search.study import search

__all__ = [
    "CONFIG_SETS",
    "Bias",
    "Candidate",
    "GeneticOptions",
    "MaskSpace",
    "Objective",
    "SearchOptions",
    "SearchResult",
    "SearchSpace",
    "Values",
    "next_generation",
    "pareto_front",
    "plans_at_budget",
    "search",
]
