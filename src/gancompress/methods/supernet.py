"""Supernet: a wide network whose leading channels form the network of every plan."""

from __future__ import annotations

from typing import Any

from torch import nn

from gancompress.architecture_search import SearchSpace, stages_of
from gancompress.channels import ChannelGraph, ChannelPlan, materialise
from gancompress.errors import ConfigError
from gancompress.importance import candidate_blocks
from gancompress.methods.data import Batches, Data
from gancompress.methods.depth import NUM_IMAGES, ordered_blocks
from gancompress.methods.prune import Score, as_score, sorted_network
from gancompress.methods.trace import trace
from gancompress.networks.given import joined


class Supernet:
    """A wide network whose plans, narrower and shallower, share its weights.

    Train it with `gancompress.distill`, then choose a plan with `gancompress.search`.

    Attributes:
        module: The wide network, a copy with the most important channels of every group first.
        graph: Its channel graph.
        space: Search space of its plans.
        original: The network that it was made from.
        x: The example input.

    Source: Li et al., GAN Compression, CVPR 2020, section 3.3; Cai et al., Once-for-All, ICLR 2020.
    """

    def __init__(
        self,
        network: nn.Module,
        x: Any,
        *,
        choices: int = 5,
        min_keep: float = 0.25,
        min_depth: float = 1.0,
        multiple: int = 8,
        fixed: tuple[str, ...] = (),
        score: Score = "l1_incoming",
        block_score: str | None = None,
        batches: Data | None = None,
        seed: int = 0,
    ) -> None:
        """Sort the channels of a network by importance, and define the search space.

        Args:
            network: Any module instance; it is not changed.
            x: An input, or a tuple of all arguments of the forward pass.
            choices: The most widths that each group may take, and the most numbers of blocks of each list.
            min_keep: The narrowest width as a fraction of the widest.
            min_depth: The fewest residual blocks of each list as a fraction of all; by default all stay.
            multiple: Widths are multiples of this, or full.
            fixed: Names of groups that stay at full width; ``*`` stands for any text.
            score: Importance of channels, as for `gancompress.prune`.
            block_score: Importance of blocks by ``batches``: the least important are left out first. By default the
                last blocks of a list are.
            batches: Batches for scores that run the network.
            seed: Seed of random numbers that the score draws.

        Raises:
            PlanError: No group has a choice.
            TraceError: The forward pass cannot be traced.
            ConfigError: A score does not fit, or ``block_score`` comes without batches or without blocks.
        """
        legal = trace(network, x, multiple=multiple, minimum=multiple, fixed=fixed)
        given = None if batches is None else Batches(batches, "batches")
        blocks = _longest_first(network, legal, block_score, given) if min_depth < 1 else ()
        self.space = SearchSpace.from_graph(legal, choices, min_keep, stages_of(blocks), min_depth)
        self.graph = legal.constrain(multiple=1, minimum=1)
        self.legal = legal
        self.module = sorted_network(network, self.graph, as_score(score, network, given, seed))
        self.original, self.x = network, x

    def network(self, plan: ChannelPlan | str | float) -> nn.Module:
        """Return the narrow network of a plan, with the current weights of the supernet.

        Args:
            plan: A plan; its text, as search results print it; or a fraction of every group's channels.

        Raises:
            PlanError: The plan does not fit this network.
        """
        if isinstance(plan, str):
            plan = self.space.plan(self.space.parse(plan))
        elif isinstance(plan, float | int):
            plan = self.legal.uniform_plan(plan)
        return materialise(self.module, self.graph, plan).eval()

    def __repr__(self) -> str:
        text = " x ".join(str(len(choices)) for choices in self.space.choices)
        return f"Supernet({type(self.module).__name__}: {text} plans)"


def _longest_first(
    network: nn.Module, graph: ChannelGraph, score: str | None, batches: Batches | None
) -> tuple[str, ...]:
    """Return the blocks that may be left out, those that stay longest first."""
    if score is None:
        return candidate_blocks(graph)
    if batches is None:
        raise ConfigError(f"block_score: got '{score}' without images to score blocks on; give batches")
    inputs = joined(list(batches.inputs(NUM_IMAGES)))
    return ordered_blocks(network, graph, inputs, score)[::-1]
