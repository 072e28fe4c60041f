"""Pruning: keep the most important channels of every group, in a narrower network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from gancompress.channels import ChannelGraph, ChannelPlan, materialise, reordered
from gancompress.channels.skeleton import copy_module, named_tensors
from gancompress.cost import widest_plan
from gancompress.deploy.latency import variants_of_graph
from gancompress.errors import ConfigError
from gancompress.importance import Probe, ScoreOptions, by_importance, find_score
from gancompress.importance import Score as ScoreFunction
from gancompress.methods.budget import Budget
from gancompress.methods.costs import cost_of_plans, single_image
from gancompress.methods.data import Batches, Data
from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.refit import refit_pair
from gancompress.methods.save_like import as_generator
from gancompress.methods.trace import trace
from gancompress.networks.given import joined
from gancompress.networks.loadable import loadable_slots
from gancompress.networks.reparametrized import fold_reparametrizations

Score = str | ScoreOptions | ScoreFunction
"""A name such as ``l1_incoming``, options of a score that runs the network, or a function of (state, graph)."""


@dataclass(frozen=True)
class Cut:
    """A network before and after pruning.

    Attributes:
        wide: The network at full width with the kept channels first; computes the same function as the given one.
        narrow: The network at the plan.
        graph: Graph of the wide network.
        plan: Width of every group.
    """

    wide: nn.Module
    narrow: nn.Module
    graph: ChannelGraph
    plan: ChannelPlan


def prune(
    network: nn.Module,
    x: Any,
    *,
    keep: float | None = None,
    budget: Budget | None = None,
    widths: Mapping[str, int] | None = None,
    score: Score = "l1_incoming",
    refit: Data | None = None,
    batches: Data | None = None,
    multiple: int = 8,
    fixed: tuple[str, ...] = (),
    loadable: bool | Mapping[str, Any] = False,
    seed: int = 0,
) -> nn.Module:
    """Remove the least important channels of every group, without training.

    Args:
        network: Any module instance; it is not changed.
        x: An input, or a tuple of all arguments of the forward pass.
        keep: Fraction of every group's channels that stays.
        budget: Cost not to exceed, instead of ``keep``. For a budget in milliseconds the parts of the network are timed
            on this machine.
        widths: Width of each group by name, instead of ``keep``; groups not named stay at full width.
        score: Importance of channels: a name of `gancompress.importance.SCORES`, options of one, or a function of
            (state, graph) that returns a tensor [channels] for each group.
        refit: Batches on which the remaining weights are solved for by least squares; weight norm and spectral norm
            are then replaced by the weights that they compute in evaluation.
        batches: Batches for scores that run the network and for the statistics of batch norms; those of ``refit`` by
            default.
        multiple: Widths are multiples of this, or full.
        fixed: Names of groups to leave at full width; ``*`` stands for any text.
        loadable: Whether widths stay in the form that the network's constructor can express, such as one ``num_feat``,
            so that the original program loads the result (`gancompress.save_like` writes its file). For a class of your
            own the arguments that it was called with.
        seed: Seed of random numbers that a score or a refit draws.

    Returns:
        A narrow module in evaluation mode, of the same class, that shares no tensors with the network.

    Raises:
        ConfigError: Not exactly one of ``keep``, ``budget`` and ``widths`` is given, the score does not fit, or the
            constructor of a loadable network is not known or cannot express its widths.
        BudgetError: The narrowest network costs more than the budget.
        PlanError: The widths do not fit the network.
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
    graph = trace(network, x, multiple=1 if widths else multiple, minimum=1 if widths else multiple, fixed=fixed)
    if loadable is not False:
        generator = as_generator(network, None if loadable is True else loadable)
        graph = replace(graph, slots=loadable_slots(generator, graph))
    if widths is not None:
        plan = graph.plan(widths)
    elif keep is not None:
        plan = graph.uniform_plan(keep)
    else:
        assert budget is not None
        limit = budget.limit(graph)
        cost = cost_of_plans(limit, network, graph, single_image(x), lambda: variants_of_graph(graph))
        plan = widest_plan(graph, cost, limit.limit, limit.unit)
    made = cut(network, graph, plan, as_score(score, network, running, seed))
    if given is not None:
        refit_pair(made.narrow, made.wide, graph, plan, given, seed=seed)
    if running is not None:
        recalibrate(made.narrow, running, num_images=_RECALIBRATION_IMAGES)
    return made.narrow.eval()


_RECALIBRATION_IMAGES = 512


def cut(network: nn.Module, graph: ChannelGraph, plan: ChannelPlan, score: ScoreFunction) -> Cut:
    """Keep the most important channels of every group.

    Args:
        network: The network; it is not changed.
        graph: Its graph.
        plan: Width of every group.
        score: Importance of channels.

    Raises:
        PlanError: The plan does not fit the graph.
        ConfigError: The score does not apply to some group.
    """
    wide = sorted_network(network, graph, score)
    return Cut(wide, materialise(wide, graph, plan), graph, plan)


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
