"""Pruning: keep the most important channels of every group and the most important blocks, in a smaller network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from torch import nn

from gancompress.channels import ChannelGraph, ChannelPlan, materialise, reordered
from gancompress.channels.skeleton import copy_module, named_tensors
from gancompress.cost import widest_plan
from gancompress.deploy.latency import variants_of_graph
from gancompress.errors import ConfigError
from gancompress.importance import Probe, ScoreOptions, by_importance, find_score
from gancompress.importance import Score as ScoreFunction
from gancompress.methods.budget import Budget, CostLimit
from gancompress.methods.costs import cost_of_plans, single_image
from gancompress.methods.data import Batches, Data
from gancompress.methods.depth import Depth, best_depth, check_depth, left_out_by, ordered_blocks
from gancompress.methods.fold_branches import fold_branches
from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.refit import NUM_IMAGES, refit_pair
from gancompress.methods.save_like import as_generator
from gancompress.methods.trace import trace
from gancompress.networks.given import Given, joined
from gancompress.networks.loadable import loadable_slots
from gancompress.networks.reparametrized import fold_reparametrizations

Score = str | ScoreOptions | ScoreFunction
"""A name such as ``l1_incoming``, options of a score that runs the network, or a function of (state, graph)."""


def prune(
    network: nn.Module,
    x: Any,
    *,
    keep: float | None = None,
    budget: Budget | None = None,
    widths: Mapping[str, int] | None = None,
    depth: Depth | None = None,
    left_out: tuple[str, ...] = (),
    score: Score = "l1_incoming",
    block_score: str = "output_error",
    refit: Data | None = None,
    batches: Data | None = None,
    multiple: int = 8,
    fixed: tuple[str, ...] = (),
    loadable: bool | Mapping[str, Any] = False,
    seed: int = 0,
) -> nn.Module:
    """Remove the least important channels of every group, and whole residual blocks, without training.

    Args:
        network: Any module instance; it is not changed.
        x: An input, or a tuple of all arguments of the forward pass.
        keep: Fraction of every group's channels that stays.
        budget: Cost not to exceed, instead of ``keep``. For a budget in milliseconds the parts of the network are timed
            on this machine.
        widths: Width of each group by name, instead of ``keep``; groups not named stay at full width.
        depth: Fraction of the residual blocks that stay, the least important are left out; all stay by default. With
            "auto" and a budget, few narrow blocks and few blocks of full width are tried, with the refit, and the
            network nearest to the original on ``batches`` is returned.
        left_out: Names of residual blocks of `gancompress.trace` to leave out; ``*`` stands for any text.
        score: Importance of channels: a name of `gancompress.importance.SCORES`, options of one, or a function of
            (state, graph) that returns a tensor [channels] for each group.
        block_score: Importance of blocks: a name of `gancompress.importance.BLOCK_SCORES`.
        refit: Batches on which the remaining weights are solved for by least squares; weight norm and spectral norm
            are then replaced by the weights that they compute in evaluation.
        batches: Batches for scores that run the network, ``depth`` and the statistics of batch norms; those of
            ``refit`` by default.
        multiple: Widths are multiples of this, or full.
        fixed: Names of groups to leave at full width; ``*`` stands for any text.
        loadable: Whether widths stay in the form that the network's constructor can express, such as one ``num_feat``,
            so that the original program loads the result (`gancompress.save_like` writes its file). For a class of your
            own the arguments that it was called with.
        seed: Seed of random numbers that a score or a refit draws.

    Returns:
        A narrow module in evaluation mode, of the same class, that shares no tensors with the network. Unless it must
        be loadable, or ``widths`` or ``fixed`` name its groups, its re-parameterised blocks are folded first, as
        `gancompress.fold_branches` does.

    Raises:
        ConfigError: Not exactly one of ``keep``, ``budget`` and ``widths`` is given, the score does not fit, ``depth``
            comes without batches or without blocks to leave out, "auto" without a budget, or the constructor of a
            loadable network is not known or cannot express its widths.
        BudgetError: The narrowest network costs more than the budget.
        PlanError: The widths or the blocks do not fit the network.
        TraceError: The forward pass cannot be traced.
        RefitError: The batches do not determine the weights.
        ExportError: The runtime of a latency is not installed, or rejects the network.
        DataError: Batches are missing or of an unknown kind.
    """
    if sum(each is not None for each in (keep, budget, widths)) != 1:
        raise ConfigError("prune: expected exactly one of keep, budget and widths")
    given = None if refit is None else Batches(refit, "refit")
    running = given if batches is None else Batches(batches, "batches")
    if refit is not None:
        network = copy_module(network)
        fold_reparametrizations(network)
    if loadable is False and widths is None and not fixed:
        network, _ = fold_branches(network, x)
    graph = trace(network, x, multiple=1 if widths else multiple, minimum=1 if widths else multiple, fixed=fixed)
    if loadable is not False:
        generator = as_generator(network, None if loadable is True else loadable)
        graph = replace(graph, slots=loadable_slots(generator, graph))
    wide = sorted_network(network, graph, as_score(score, network, running, seed))
    choice = _Depth.of(depth, wide, graph, running, block_score, graph.matching_blocks(left_out))
    if budget is None:
        choice.check_fixed()
        plan = graph.uniform_plan(keep or 0.0) if widths is None else graph.plan(widths)
        plan = plan.leaving_out(choice.left_out)
    else:
        limit = budget.limit(graph)
        cost = cost_of_plans(limit, network, graph, single_image(x), lambda: variants_of_graph(graph))
        plan = choice.widest(wide, graph, cost, limit, refitted=given is not None, seed=seed)
    narrow = materialise(wide, graph, plan)
    if given is not None:
        refit_pair(narrow, wide, graph, plan, given, seed=seed)
    if running is not None:
        recalibrate(narrow, running, num_images=_RECALIBRATION_IMAGES)
    return narrow.eval()


_RECALIBRATION_IMAGES = 512


@dataclass(frozen=True)
class _Depth:
    """Depth that `prune` was asked for.

    Attributes:
        left_out: Blocks that every plan leaves out.
        order: Further blocks for a choice within a budget, the least important first; empty without that choice.
        inputs: Images for that choice.
    """

    left_out: tuple[str, ...]
    order: tuple[str, ...] = ()
    inputs: Given | None = None

    @classmethod
    def of(
        cls,
        depth: Depth | None,
        wide: nn.Module,
        graph: ChannelGraph,
        batches: Batches | None,
        score: str,
        left_out: tuple[str, ...],
    ) -> Self:
        """Score the blocks of a network. Raises ConfigError for a depth that does not fit, or without batches."""
        if depth is None:
            return cls(left_out)
        check_depth(depth)
        if batches is None:
            raise ConfigError(f"depth: got {depth!r} without images to score blocks on; give batches or refit")
        inputs = joined(list(batches.inputs(NUM_IMAGES)))
        order = ordered_blocks(wide, graph, inputs, score)
        if depth == "auto":
            return cls(left_out, order, inputs)
        return cls((*left_out, *left_out_by(depth, order)))

    def check_fixed(self) -> None:
        """Raise ConfigError if the depth is to be chosen within a budget."""
        if self.order:
            raise ConfigError("depth: got 'auto' without a budget, expected one; give budget instead of keep or widths")

    def widest(
        self,
        wide: nn.Module,
        graph: ChannelGraph,
        cost: Callable[[ChannelPlan], float],
        limit: CostLimit,
        *,
        refitted: bool,
        seed: int,
    ) -> ChannelPlan:
        """Return the widest plan within a budget at this depth. Raises BudgetError if there is none."""
        if self.inputs is None:
            return widest_plan(graph, cost, limit.limit, limit.unit, self.left_out)
        return best_depth(
            *(wide, graph, cost, limit, self.order, self.inputs), left_out=self.left_out, refitted=refitted, seed=seed
        )


def sorted_network(network: nn.Module, graph: ChannelGraph, score: ScoreFunction) -> nn.Module:
    """Return a copy with the most important channels of every group first, which computes the same function.

    Raises:
        ConfigError: The score does not apply to some group.
    """
    return reordered(network, graph, by_importance(score(named_tensors(network), graph)))


def as_score(score: Score, network: nn.Module, batches: Batches | None, seed: int = 0) -> ScoreFunction:
    """Return the score function of a name, of options, or of a function.

    Args:
        score: The score.
        network: The network, for scores that run it.
        batches: Batches to run it on; without batches, such scores are rejected.
        seed: Seed of random numbers that it draws.

    Raises:
        ConfigError: There is no such score, or it runs the network and there are no batches.
    """
    if callable(score) and not isinstance(score, ScoreOptions):
        return score
    if batches is None:
        return find_score(score)
    return find_score(score, Probe(network.eval(), _probing(batches), seed))


def _probing(batches: Batches) -> Callable[[int, int], Iterator[Mapping[str, Any]]]:
    """Return a function of a number of images and a batch size that yields inputs for a probe."""

    def inputs(num_images: int, batch_size: int) -> Iterator[Mapping[str, Any]]:
        whole = joined(list(batches.inputs(num_images)))
        yield from ({"input": whole[first : first + batch_size]} for first in range(0, len(whole), batch_size))

    return inputs
