"""Search methods: the proposal of the next plan to evaluate.

A proposal depends only on the seed, its index and the candidates finished so far. So an interrupted search continues
as if it had not been interrupted, and several processes can share one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

import numpy as np
import optuna
import torch
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import TrialState

from gancompress.architecture_search.affordable import AffordablePlans
from gancompress.architecture_search.options import Objective, SearchOptions
from gancompress.architecture_search.registry import register_method
from gancompress.architecture_search.result import Candidate
from gancompress.architecture_search.space import SearchSpace, Values

_NSGA2_DRAWS = 50


@register_method("exhaustive")
class Exhaustive:
    """Exhaustive search: every plan within the budget, in random order."""

    multi_objective: ClassVar[bool] = False

    def __init__(self, plans: AffordablePlans, objective: Objective, options: SearchOptions, seed: int) -> None:
        found = plans.all()
        self._order = [found[i] for i in torch.randperm(len(found), generator=_generator(seed)).tolist()]
        self.num_candidates = min(options.num_candidates or len(found), len(found))

    def propose(self, index: int, finished: Sequence[Candidate], taken: AbstractSet[Values]) -> Values | None:
        """Propose the next plan; see `Method.propose`."""
        return self._order[index]


@register_method("random")
class Random:
    """Random search: independent plans, rejected until they spend the budget."""

    multi_objective: ClassVar[bool] = False

    def __init__(self, plans: AffordablePlans, objective: Objective, options: SearchOptions, seed: int) -> None:
        self._plans, self._options, self._seed = plans, options, seed
        self.num_candidates = _num_candidates(plans.space, options)

    def propose(self, index: int, finished: Sequence[Candidate], taken: AbstractSet[Values]) -> Values | None:
        """Propose the next plan; see `Method.propose`."""
        generator = _generator(self._seed, index)
        return self._first_new(lambda: self._sample(generator), taken, generator)

    def _first_new(
        self, draw: Callable[[], Values], taken: AbstractSet[Values], generator: torch.Generator
    ) -> Values | None:
        return self._plans.first_new(draw, taken, generator, tolerance=self._options.budget_tolerance)

    def _sample(self, generator: torch.Generator) -> Values:
        return self._plans.space.sample(generator, self._options.bias, self._options.bias_ratio)


@register_method("random_at_budget")
class RandomAtBudget(Random):
    """Baseline of a search: one random plan at the budget, whatever its quality."""

    measures: ClassVar[bool] = False

    def __init__(self, plans: AffordablePlans, objective: Objective, options: SearchOptions, seed: int) -> None:
        super().__init__(plans, objective, options, seed)
        self.num_candidates = 1

    def propose(self, index: int, finished: Sequence[Candidate], taken: AbstractSet[Values]) -> Values | None:
        """Propose the plan; see `Method.propose`. Raises the errors of `AffordablePlans.at_budget`."""
        generator = _generator(self._seed, index)
        return self._plans.at_budget(lambda: self._sample(generator), self._options.budget_tolerance, generator)


@register_method("evolutionary")
class Evolutionary(Random):
    """Evolutionary search: generations bred from the best earlier candidates.

    The paper keeps the parents in the next population, so they are the best of all candidates of earlier generations.
    No plan is evaluated twice here: a cross of two parents that is already taken is mutated.

    Source: Li et al., GAN Compression, CVPR 2020 (released code: evolution search).
    """

    def __init__(self, plans: AffordablePlans, objective: Objective, options: SearchOptions, seed: int) -> None:
        super().__init__(plans, objective, options, seed)
        self._objective, self.generation = objective, options.population

    def propose(self, index: int, finished: Sequence[Candidate], taken: AbstractSet[Values]) -> Values | None:
        """Propose the next plan; see `Method.propose`."""
        child = index % self.generation
        parents = self._parents(finished, index - child)
        if len(parents) < 2:
            return super().propose(index, finished, taken)
        generator, space = _generator(self._seed, index), self._plans.space

        def mutant(of: Values) -> Values:
            return space.mutate(of, self._options.mutation_rate, generator)

        def draw() -> Values:
            a, b = _two(parents, generator)
            if child < self._options.mutation_fraction * self.generation:
                return mutant(a)
            crossed = space.crossover(a, b, generator)
            return mutant(crossed) if crossed in taken else crossed

        return self._first_new(draw, taken, generator)

    def _parents(self, finished: Sequence[Candidate], before: int) -> list[Values]:
        earlier = [(self._objective.score(c.metrics), c.index, c.values) for c in finished if c.index < before]
        best = sorted(entry for entry in earlier if np.isfinite(entry[0]))[: self._options.num_parents]
        return [values for _, _, values in best]


@register_method("nsga2")
class Nsga2:
    """NSGA-II search: generations bred by Optuna for both objective and cost.

    Optuna's sampler works on a separate study in memory: the finished candidates are added to it, and the sampler draws
    proposals with a separate generator.
    """

    multi_objective: ClassVar[bool] = True

    def __init__(self, plans: AffordablePlans, objective: Objective, options: SearchOptions, seed: int) -> None:
        self._plans, self._objective, self._seed = plans, objective, seed
        self.num_candidates, self.generation = _num_candidates(plans.space, options), options.population
        self._choices: dict[str, BaseDistribution] = {
            name: IntDistribution(0, len(choices) - 1)
            for name, choices in zip(plans.space.names, plans.space.choices, strict=True)
        }
        self._study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), directions=[objective.direction, "minimize"]
        )
        self._added: set[int] = set()

    def propose(self, index: int, finished: Sequence[Candidate], taken: AbstractSet[Values]) -> Values | None:
        """Propose the next plan; see `Method.propose`."""
        earlier = [each for each in finished if each.index < index - index % self.generation]
        self._study.sampler = self._sampler(index, earlier)
        for candidate in earlier:
            if candidate.index not in self._added:
                self._add(candidate)
        self._draw()  # the sampler orders parents in another way the first time it selects them
        self._study.sampler = self._sampler(index, earlier)
        return self._plans.first_new(self._draw, taken, _generator(self._seed, index), _NSGA2_DRAWS)

    def _sampler(self, index: int, earlier: Sequence[Candidate]) -> optuna.samplers.NSGAIISampler:
        """Return a sampler whose population is no larger than what is finite of each earlier generation."""
        finite = Counter(each.index // self.generation for each in earlier if self._is_finite(each))
        size = max(2, min(finite.values(), default=self.generation))
        return optuna.samplers.NSGAIISampler(population_size=size, seed=_mixed(self._seed, index) % 2**32)

    def _is_finite(self, candidate: Candidate) -> bool:
        return bool(np.isfinite(self._objective.score(candidate.metrics)))

    def _add(self, candidate: Candidate) -> None:
        self._added.add(candidate.index)
        if not self._is_finite(candidate):
            return
        places = [
            choices.index(value) for choices, value in zip(self._plans.space.choices, candidate.values, strict=True)
        ]
        self._study.enqueue_trial(dict(zip(self._choices, places, strict=True)))
        trial = self._study.ask(self._choices)
        trial.relative_params  # noqa: B018  reading it is what makes the sampler count the trial to a generation
        self._study.tell(trial, [candidate.metrics[self._objective.metric], candidate.cost])

    def _draw(self) -> Values:
        trial = self._study.ask(self._choices)
        self._study.tell(trial, state=TrialState.FAIL)
        choices = zip(self._choices, self._plans.space.choices, strict=True)
        return tuple(values[trial.params[name]] for name, values in choices)


def _num_candidates(space: SearchSpace, options: SearchOptions) -> int:
    return min(options.num_candidates or 10 * options.population, space.size)


def _mixed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def _generator(*key: int) -> torch.Generator:
    return torch.Generator().manual_seed(_mixed(*key))


def _two(plans: Sequence[Values], generator: torch.Generator) -> tuple[Values, Values]:
    first, second = torch.randperm(len(plans), generator=generator)[:2].tolist()
    return plans[first], plans[second]
