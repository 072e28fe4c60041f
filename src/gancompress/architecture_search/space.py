"""Search space: the plans that a search or a supernet chooses from, as a few slots and stages with choices."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch

from gancompress.architecture_search.sets import CONFIG_SETS
from gancompress.architecture_search.stages import Stage
from gancompress.channels import ChannelGraph, ChannelPlan, Slot, widths_from_slots
from gancompress.errors import ConfigError, PlanError, nearest

Values = tuple[int, ...]
Bias = Literal["uniform", "arithmetic", "geometric"]


@dataclass(frozen=True)
class SearchSpace:
    """Slots and stages, and their choices. A plan is written as one value for each slot, then one for each stage.

    Attributes:
        slots: Slots, each of which sets channel groups.
        choices: The values of each slot, then the numbers of blocks of each stage, ascending.
        rest: Widths of the channel groups that no slot sets.
        stages: Stages of blocks, of which a plan keeps a number.

    Raises:
        ConfigError: There is no slot or stage, one has no choices or unsorted ones, or slots share a name or a group.
    """

    slots: tuple[Slot, ...]
    choices: tuple[tuple[int, ...], ...]
    rest: Mapping[str, int]
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        if not self.choices or len(self.names) != len(self.choices):
            raise ConfigError(
                f"search space: got {len(self.names)} slots and choices for {len(self.choices)}, "
                "expected choices for each of at least one slot"
            )
        for name, choices in zip(self.names, self.choices, strict=True):
            if not choices or list(choices) != sorted(set(choices)) or choices[0] < 1:
                raise ConfigError(f"slot {name}: got choices {choices}, expected ascending numbers of at least 1")
        names = list(self.names)
        groups = [*self.rest, *(group for slot in self.slots for group in slot.groups)]
        for kind, found in (("name", names), ("channel group", groups)):
            twice = [item for item in found if found.count(item) > 1]
            if twice:
                raise ConfigError(f"search space: the {kind} '{twice[0]}' occurs twice, expected once")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all slots and stages, in the order of the choices."""
        return (*(slot.name for slot in self.slots), *(f"depth of {stage.name}" for stage in self.stages))

    @classmethod
    def from_graph(
        cls,
        graph: ChannelGraph,
        max_choices: int = 5,
        min_keep: float = 0.25,
        stages: Sequence[Stage] = (),
        min_depth: float = 1.0,
    ) -> SearchSpace:
        """Return the slots of a graph, with a slot for every other channel group that has a choice, and its stages.

        Args:
            max_choices: Largest number of choices of a slot or stage; more are thinned evenly, the narrowest and the
                widest stay.
            min_keep: The narrowest choice as a fraction of the widest.
            stages: Stages of its blocks.
            min_depth: The fewest blocks of a stage as a fraction of all.

        Raises:
            ConfigError: max_choices is below 2, or min_keep or min_depth outside [0, 1].
            PlanError: No group has a choice, or no value fits all groups of a slot.
        """
        if max_choices < 2 or not 0 <= min_keep <= 1 or not 0 <= min_depth <= 1:
            raise ConfigError(
                f"search space: got max_choices {max_choices}, min_keep {min_keep} and min_depth {min_depth}, "
                "expected at least 2 and fractions between 0 and 1"
            )
        tied = {group for slot in graph.slots for group in slot.groups}
        single = (Slot(name, (name,)) for name in graph.groups if name not in tied)
        legal = {slot: graph.slot_choices(slot) for slot in (*graph.slots, *single)}
        choices = {
            slot: _thinned([value for value in values if value >= min_keep * values[-1]], max_choices)
            for slot, values in legal.items()
        }
        choices = {slot: some for slot, some in choices.items() if slot in graph.slots or len(some) > 1}
        depths = {stage: _thinned(stage.choices(min_depth), max_choices) for stage in stages}
        depths = {stage: some for stage, some in depths.items() if len(some) > 1}
        if not choices and not depths:
            raise PlanError("search space: no channel group of this network has a choice; allow smaller widths")
        return cls._on(graph, tuple(choices), (*choices.values(), *depths.values()), tuple(depths))

    @classmethod
    def from_set(cls, name: str, graph: ChannelGraph, slots: Sequence[Slot] | None = None) -> SearchSpace:
        """Return a config set of the literature (`architecture_search.sets`); groups outside its slots keep full width.

        Args:
            name: Name of the set, such as ``resnet-channels-48``.
            graph: The network that the plans are for.
            slots: Slots of the set; None for those of the graph.

        Raises:
            ConfigError: There is no such set, or it is for another number of slots.
            PlanError: A choice is no legal width of the network.
        """
        if name not in CONFIG_SETS:
            raise ConfigError(f"search space: no config set '{name}'; {nearest(name, CONFIG_SETS)}")
        slots, choices = tuple(graph.slots if slots is None else slots), CONFIG_SETS[name]
        if len(slots) != len(choices):
            raise ConfigError(f"search space: '{name}' is for {len(choices)} slots, but this network has {len(slots)}")
        for slot, values in zip(slots, choices, strict=True):
            legal = graph.slot_choices(slot)
            illegal = [value for value in values if value not in legal]
            if illegal:
                raise PlanError(
                    f"slot {slot.name}: '{name}' has the choice {illegal[0]}, but this network allows "
                    f"{', '.join(map(str, legal))}"
                )
        return cls._on(graph, slots, choices)

    @classmethod
    def _on(
        cls,
        graph: ChannelGraph,
        slots: tuple[Slot, ...],
        choices: tuple[tuple[int, ...], ...],
        stages: tuple[Stage, ...] = (),
    ) -> SearchSpace:
        tied = {group for slot in slots for group in slot.groups}
        rest = {name: group.size for name, group in graph.groups.items() if name not in tied}
        return cls(slots, choices, rest, stages)

    @property
    def size(self) -> int:
        """Number of plans."""
        return math.prod(map(len, self.choices))

    @property
    def largest(self) -> Values:
        """The plan with every slot at its widest and all blocks."""
        return tuple(choices[-1] for choices in self.choices)

    @property
    def smallest(self) -> Values:
        """The plan with every slot at its narrowest and the fewest blocks."""
        return tuple(choices[0] for choices in self.choices)

    def __contains__(self, values: object) -> bool:
        return (
            isinstance(values, tuple)
            and len(values) == len(self.choices)
            and all(value in choices for value, choices in zip(values, self.choices, strict=True))
        )

    def plan(self, values: Values) -> ChannelPlan:
        """Return the plan of slot values: the width of every channel group, and the blocks left out.

        Raises:
            PlanError: The values are not in the space.
        """
        if values not in self:
            expected = "; ".join(f"{name} {c}" for name, c in zip(self.names, self.choices, strict=True))
            raise PlanError(f"plan: got {self.text(values)}, expected one value for each slot: {expected}")
        widths, depths = values[: len(self.slots)], values[len(self.slots) :]
        left_out = (block for s, kept in zip(self.stages, depths, strict=True) for block in s.left_out(kept))
        return ChannelPlan({**self.rest, **widths_from_slots(self.slots, widths)}, frozenset(left_out))

    def text(self, values: Values) -> str:
        """Return the values in the literature's notation, joined by ``_``."""
        return "_".join(map(str, values))

    def parse(self, text: str) -> Values:
        """Parse slot values, the inverse of `text`.

        Raises:
            PlanError: The text has another form, or its values are not in the space.
        """
        numbers = text.split("_")
        if not all(number.isascii() and number.isdigit() for number in numbers):
            raise PlanError(
                f"plan: got '{text}', expected whole numbers joined by '_', such as {self.text(self.largest)}"
            )
        values = tuple(map(int, numbers))
        self.plan(values)
        return values

    def sample(self, generator: torch.Generator, bias: Bias = "uniform", ratio: float = 1.0) -> Values:
        """Draw a random plan with independent slots.

        Args:
            generator: Generator on the CPU; the plan depends only on its state.
            bias: Bias towards narrow plans: with ``arithmetic`` the weights of a slot's choices grow by equal steps
                from 1 for the widest to ratio for the narrowest, with ``geometric`` by the factor ratio from choice to
                choice.
            ratio: Strength of the bias, at least 1.

        Source: Li et al., GAN Compression, CVPR 2020 (released code: weighted sampling of the first generation).
        """
        draws = torch.rand(len(self.choices), generator=generator, dtype=torch.float64).tolist()
        return tuple(
            choices[_pick(draw, _weights(len(choices), bias, ratio))]
            for draw, choices in zip(draws, self.choices, strict=True)
        )

    def mutate(self, values: Values, rate: float, generator: torch.Generator) -> Values:
        """Redraw each slot with probability rate, uniformly over all of its choices.

        Source: Li et al., GAN Compression, CVPR 2020 (released code: evolution search).
        """
        drawn = self.sample(generator)
        renewed = (torch.rand(len(self.choices), generator=generator) < rate).tolist()
        return tuple(new if renew else old for old, new, renew in zip(values, drawn, renewed, strict=True))

    def crossover(self, a: Values, b: Values, generator: torch.Generator) -> Values:
        """Take each slot from one parent or the other, with equal probability.

        Source: Li et al., GAN Compression, CVPR 2020 (released code: evolution search).
        """
        from_a = (torch.rand(len(self.choices), generator=generator) < 0.5).tolist()
        return tuple(x if first else y for x, y, first in zip(a, b, from_a, strict=True))

    def narrower(self, values: Values) -> list[Values]:
        """Return the plans with one slot one choice narrower."""
        return [
            (*values[:i], choices[choices.index(values[i]) - 1], *values[i + 1 :])
            for i, choices in enumerate(self.choices)
            if values[i] != choices[0]
        ]

    def wider(self, values: Values) -> list[Values]:
        """Return the plans with one slot one choice wider."""
        return [
            (*values[:i], choices[choices.index(values[i]) + 1], *values[i + 1 :])
            for i, choices in enumerate(self.choices)
            if values[i] != choices[-1]
        ]

    def within(self, fits: Callable[[Values], bool]) -> Iterator[Values]:
        """Yield every plan that fits once, the smallest first.

        Each plan is reached from the smallest by widening its slots in turn, so plans that do not fit are only tested
        where they border on one that does.

        Args:
            fits: A condition that, if it holds for a plan, holds for all narrower ones.
        """
        pending = [(self.smallest, 0)] if fits(self.smallest) else []
        while pending:
            values, first = pending.pop()
            yield values
            for i, choices in enumerate(self.choices[first:], first):
                if values[i] != choices[-1]:
                    wider = (*values[:i], choices[choices.index(values[i]) + 1], *values[i + 1 :])
                    if fits(wider):
                        pending.append((wider, i))


def _thinned(values: Sequence[int], most: int) -> tuple[int, ...]:
    last, steps = len(values) - 1, min(most, len(values)) - 1
    return tuple(values[round(i * last / max(steps, 1))] for i in range(steps + 1))


def _weights(count: int, bias: Bias, ratio: float) -> list[float]:
    """Return the sampling weights of a slot's choices, the narrowest first."""
    steps = range(count - 1, -1, -1)  # from the widest choice
    if bias == "geometric":
        return [ratio**step for step in steps]
    top = ratio if bias == "arithmetic" else 1.0
    return [1 + (top - 1) * step / max(count - 1, 1) for step in steps]


def _pick(draw: float, weights: Sequence[float]) -> int:
    """Return the index that a number from [0, 1) selects when the choices are drawn by weight."""
    ends = list(accumulate(weights))
    return min(bisect(ends, draw * ends[-1]), len(weights) - 1)
