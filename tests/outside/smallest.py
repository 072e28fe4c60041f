"""A search method: the smallest plan alone."""

from gancompress.architecture_search import register_method


@register_method("smallest")
class Smallest:
    num_candidates = 1
    multi_objective = False

    def __init__(self, plans, objective, options, seed):
        self._values = plans.space.smallest

    def propose(self, index, finished, taken):
        return None if self._values in taken else self._values
