"""Binary channel masks, one row of bits for all channels of a network, and their genetic operators.

Source: Shu et al., Co-Evolutionary Compression for Unpaired Image Translation, ICCV 2019, section 3, and its released
code for the operators and their probabilities.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.errors import BudgetError
from gancompress.options import Options

Probability = Annotated[float, Field(ge=0, le=1)]


class GeneticOptions(Options):
    """Options of the genetic algorithm on masks. The defaults are those of the released code.

    Attributes:
        population: Masks of a generation.
        num_generations: Generations bred after the first, which is random.
        selection: Probability that a place of the next generation goes to an unchanged member of this one.
        crossover: Probability that two places go to two members that exchange a stretch of bits. The remaining places
            go to mutants.
    """

    population: Annotated[int, Field(ge=2)] = 32
    num_generations: Annotated[int, Field(ge=0)] = 50
    selection: Probability = 0.2
    crossover: Probability = 0.7

    @model_validator(mode="after")
    def _is_a_distribution(self) -> Self:
        if self.selection + self.crossover > 1:
            raise ValueError(
                f"crossover: got {self.crossover} with selection {self.selection}, expected at most 1 together"
            )
        return self


class MaskSpace:
    """The masks of a graph that keep the cost within a budget. A mask is a row of bits, bool [num_bits], on the CPU.

    Attributes:
        num_bits: Channels of all groups.
    """

    def __init__(
        self, graph: ChannelGraph, cost: Callable[[ChannelPlan], float], budget: float, unit: str = "MACs"
    ) -> None:
        """Check that the budget allows at least one mask.

        Args:
            graph: The graph, with every width of every group legal.
            cost: Cost of a plan, growing with its widths.
            budget: The cost not to exceed.
            unit: Name of the unit of cost, for the message.

        Raises:
            BudgetError: Even one channel of every group costs more; the message says what it costs.
        """
        self._graph, self._cost, self._budget = graph, cost, budget
        self._sizes = [group.size for group in graph.groups.values()]
        self._group_of = torch.repeat_interleave(torch.arange(len(self._sizes)), torch.tensor(self._sizes))
        self.num_bits = len(self._group_of)
        smallest = cost(graph.smallest_plan())
        if not smallest <= budget:
            raise BudgetError(
                f"budget: got {budget:,.0f} {unit}, but the smallest reachable cost is {smallest:,.0f} {unit}; "
                "raise the budget"
            )

    def random(self, generator: torch.Generator) -> Tensor:
        """Draw a mask that keeps each channel with probability 1/2, within the budget (see `within_budget`)."""
        return self.within_budget(torch.rand(self.num_bits, generator=generator) < 0.5, generator)

    def within_budget(self, mask: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mask with at least one channel in every group and with random channels removed to meet the budget.

        No fewer channels would meet it. The paper has no budget: there, only the fitness makes networks small.
        """
        mask = mask.clone()
        for group, positions in enumerate(torch.arange(self.num_bits).split(self._sizes)):
            if not mask[positions].any():
                mask[positions[int(torch.randint(self._sizes[group], (), generator=generator))]] = True
        kept = mask.nonzero().flatten()
        kept = kept[torch.randperm(len(kept), generator=generator)]
        first_of = {group: place for place, group in reversed([*enumerate(self._group_of[kept].tolist())])}
        is_removable = torch.ones(len(kept), dtype=torch.bool)
        is_removable[list(first_of.values())] = False
        removable = kept[is_removable]

        def without(count: int) -> Tensor:
            fewer = mask.clone()
            fewer[removable[:count]] = False
            return fewer

        def fits(count: int) -> bool:
            return self._cost(self.plan(without(count))) <= self._budget

        return without(bisect_left(range(len(removable)), True, key=fits))

    def plan(self, mask: Tensor) -> ChannelPlan:
        """Return the plan of a mask: the number of kept channels of each group."""
        return self._graph.plan({name: int(part.sum()) for name, part in self.parts(mask).items()})

    def parts(self, mask: Tensor) -> dict[str, Tensor]:
        """Return the bits of each group, bool [size]; as channel scores they rank the kept channels first."""
        return dict(zip(self._graph.groups, mask.split(self._sizes), strict=True))


def next_generation(
    population: Tensor, fitness: Tensor, options: GeneticOptions, generator: torch.Generator
) -> list[Tensor]:
    """Breed a generation: first the best mask, then copies, crosses and mutants of members drawn by fitness.

    Args:
        population: bool [n, num_bits].
        fitness: Fitness of each mask, finite and at least 0, one of them above 0, shape ``(n,)``; higher is better.
        options: Probability of each operator.
        generator: Random generator of all draws.

    Returns:
        n masks, not limited by a budget.
    """
    bred = [population[int(fitness.argmax())]]
    while len(bred) < len(population):
        drawn = float(torch.rand((), generator=generator))
        if drawn < options.selection:
            bred.append(roulette(population, fitness, generator))
        elif drawn < options.selection + options.crossover:
            one = roulette(population, fitness, generator)
            bred += crossover(one, roulette(population, fitness, generator), generator)
        else:
            bred.append(mutant(roulette(population, fitness, generator), generator))
    return bred[: len(population)]


def roulette(population: Tensor, fitness: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a member with probability proportional to its fitness."""
    return population[int(torch.multinomial(fitness, 1, generator=generator))]


def crossover(a: Tensor, b: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return both masks with a random stretch of bits exchanged."""
    stretch = _stretch(len(a), generator)
    first, second = a.clone(), b.clone()
    first[stretch], second[stretch] = b[stretch], a[stretch]
    return first, second


def mutant(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Return the mask with all bits of a random stretch inverted."""
    changed = mask.clone()
    stretch = _stretch(len(mask), generator)
    changed[stretch] = ~changed[stretch]
    return changed


def _stretch(num_bits: int, generator: torch.Generator) -> slice:
    first, last = sorted(torch.randint(num_bits, (2,), generator=generator).tolist())
    return slice(first, last + 1)
