"""Search for the best plan of a space within a budget; it evaluates no network itself."""

from gancompress.architecture_search.affordable import plans_at_budget
from gancompress.architecture_search.masks import GeneticOptions, MaskSpace, next_generation
from gancompress.architecture_search.options import Objective, SearchOptions
from gancompress.architecture_search.registry import METHODS, Method, register_method
from gancompress.architecture_search.result import Candidate, SearchResult, pareto_front
from gancompress.architecture_search.sets import CONFIG_SETS
from gancompress.architecture_search.space import Bias, SearchSpace, Values
from gancompress.architecture_search.stages import Stage, stages_of
from gancompress.architecture_search.storage import DatabaseUrl, opened, without_password
from gancompress.architecture_search.study import search

__all__ = [
    "CONFIG_SETS",
    "METHODS",
    "Bias",
    "Candidate",
    "DatabaseUrl",
    "GeneticOptions",
    "MaskSpace",
    "Method",
    "Objective",
    "SearchOptions",
    "SearchResult",
    "SearchSpace",
    "Stage",
    "Values",
    "next_generation",
    "opened",
    "pareto_front",
    "plans_at_budget",
    "register_method",
    "search",
    "stages_of",
    "without_password",
]
