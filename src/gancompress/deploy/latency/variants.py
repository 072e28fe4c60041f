"""Widths of parts to measure, and plans of whole networks to fit their sum to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from gancompress.architecture_search import SearchSpace
from gancompress.channels import ChannelGraph, ChannelPlan

_NUM_NETWORKS = 16
_MOST_WIDTHS = 4


@dataclass(frozen=True)
class Variants:
    """Widths and plans to measure.

    Attributes:
        widths: Widths of every channel group, ascending; times between two widths are interpolated.
        plans: Plans of whole networks.
    """

    widths: Mapping[str, tuple[int, ...]]
    plans: tuple[ChannelPlan, ...]


def variants_of_space(space: SearchSpace, num_networks: int = _NUM_NETWORKS, seed: int = 0) -> Variants:
    """Return every choice of a search space, and its smallest, its largest and random plans, all at full depth.

    Args:
        space: The space.
        num_networks: Number of whole networks; fewer if the space has fewer.
        seed: Seed of the random plans.
    """
    rng = torch.Generator().manual_seed(seed)
    chosen = {space.smallest: None, space.largest: None}
    for _ in range(50 * num_networks):
        if len(chosen) < num_networks:
            chosen[space.sample(rng)] = None
    widths = {group: (width,) for group, width in space.rest.items()}
    for slot, choices in zip(space.slots, space.choices, strict=False):  # the choices of stages follow
        widths |= {
            group: tuple(multiplier * value for value in choices) for group, multiplier in slot.multipliers.items()
        }
    return Variants(widths, tuple(dict.fromkeys(replace(space.plan(each), left_out=frozenset()) for each in chosen)))


def variants_of_graph(graph: ChannelGraph, num_networks: int = _NUM_NETWORKS) -> Variants:
    """Return a few of the legal widths of every group, and plans that keep the same fraction of all of them."""
    kept = [number / (num_networks - 1) for number in range(num_networks)]
    plans = {graph.uniform_plan(keep): None for keep in kept}
    return Variants({name: _thinned(group.choices) for name, group in graph.groups.items()}, tuple(plans))


def _thinned(values: Sequence[int]) -> tuple[int, ...]:
    last, steps = len(values) - 1, min(_MOST_WIDTHS, len(values)) - 1
    return tuple(dict.fromkeys(values[round(i * last / max(steps, 1))] for i in range(steps + 1)))
