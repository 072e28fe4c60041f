"""Depth of a pruned network: residual blocks that are left out whole, chosen together with the widths."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from gancompress.channels import ChannelGraph, ChannelPlan, materialise
from gancompress.cost import amount, widest_plan
from gancompress.errors import BudgetError, ConfigError
from gancompress.importance import least_important_first
from gancompress.methods.budget import CostLimit
from gancompress.methods.costs import silent
from gancompress.networks.given import Given, arguments
from gancompress.networks.outputs import tensors_of
from gancompress.reconstruction import images_needed, refit

Depth = float | Literal["auto"]
"""Fraction of the blocks that stay, or a choice within a budget by the error to the original network."""

NUM_IMAGES = 8
"""Number of images that blocks are scored on."""


def ordered_blocks(
    network: nn.Module, graph: ChannelGraph, inputs: Given, score: str = "output_error"
) -> tuple[str, ...]:
    """Return the blocks that may be left out of a network, the least important first.

    Args:
        network: The network.
        graph: Its graph.
        inputs: Images to score the blocks on; the first eight are used.
        score: Name of a score of blocks.

    Raises:
        ConfigError: There is no such score, or the network has no block that can be left out.
    """
    if not graph.blocks:
        raise ConfigError(
            "depth: got a network without residual blocks that can be left out (what it adds to a tensor of the same "
            "shape), expected some; leave depth out"
        )
    given = [arguments(network, inputs[i : i + 1]) for i in range(min(len(inputs), NUM_IMAGES))]
    return least_important_first(network.eval(), graph, given, score)


def check_depth(depth: Depth) -> None:
    """Raise ConfigError for a depth that is neither a fraction nor "auto"."""
    if depth != "auto" and not (isinstance(depth, int | float) and 0 <= depth <= 1):
        raise ConfigError(f"depth: got {depth!r}, expected a fraction of the blocks between 0 and 1, or 'auto'")


def left_out_by(depth: float, order: Sequence[str]) -> tuple[str, ...]:
    """Return the blocks to leave out so that a fraction of them stays.

    Args:
        depth: Fraction of the blocks that stay.
        order: The blocks, the least important first.
    """
    return tuple(order[: len(order) - math.ceil(depth * len(order) - 1e-9)])


@dataclass(frozen=True)
class Trial:
    """One number of blocks that was tried.

    Attributes:
        plan: The widest plan within the budget without the blocks.
        error: `typical_error` on inputs that were not fitted.
    """

    plan: ChannelPlan
    error: float


def best_depth(
    wide: nn.Module,
    graph: ChannelGraph,
    cost: Callable[[ChannelPlan], float],
    limit: CostLimit,
    order: Sequence[str],
    inputs: Given,
    *,
    left_out: Sequence[str] = (),
    refitted: bool = True,
    seed: int = 0,
    say: Callable[[str], None] = silent,
) -> ChannelPlan:
    """Return the plan within a budget whose network is nearest to the original: few blocks or narrow ones.

    The plans are those of `plans_by_depth`. Each network is cut and refitted on a quarter of the inputs, or as many as
    a refit needs, because there are many networks; the last quarter decides. If a refit needs all inputs, these decide
    too. The trials go from few blocks to many narrow ones
    and end with one that is three times as far as the nearest.

    Args:
        wide: The network, with the most important channels of every group first.
        graph: Its graph.
        cost: Cost of a plan.
        limit: The most that it may cost.
        order: Blocks in the order in which they are left out.
        inputs: Inputs like those in deployment.
        left_out: Blocks that every plan leaves out.
        refitted: Whether to refit each candidate, as the network will be.
        seed: Seed of the refit.
        say: Receives a line for each plan tried.

    Raises:
        BudgetError: No plan meets the budget.
        RefitError: The inputs do not determine the weights.
    """
    trials: list[Trial] = []
    for number, plan in plans_by_depth(graph, cost, limit, order, left_out).items():
        narrow = materialise(wide, graph, plan).eval()
        held = inputs
        if refitted:
            needed = images_needed(narrow, arguments(wide, inputs[:1])) or 1
            fitted = min(len(inputs), max(needed, len(inputs) // 4))
            refit(wide, narrow, graph, plan, arguments(wide, inputs[:fitted]), seed=seed)
            held = inputs[max(fitted, 3 * len(inputs) // 4) :] if fitted < len(inputs) else inputs
        trials.append(Trial(plan, typical_error(narrow, wide, held)))
        say(
            f"{number} of {len(order)} blocks left out, {amount(cost(plan), limit.unit)}: "
            f"{trials[-1].error:.3g} of the original's output away (median)"
        )
        if trials[-1].error > _HOPELESS * min(trial.error for trial in trials):
            break
    return min(trials, key=lambda trial: trial.error).plan


_HOPELESS = 3.0
_LEAST_USED = 0.85
"""Share of the budget that a plan uses, if another one does: what is nearer untrained may have little to train."""


def plans_by_depth(
    graph: ChannelGraph,
    cost: Callable[[ChannelPlan], float],
    limit: CostLimit,
    order: Sequence[str],
    left_out: Sequence[str] = (),
) -> dict[int, ChannelPlan]:
    """Return the widest plans within a budget by their numbers of blocks left out, the largest number first.

    The numbers are none, as many as the budget asks for at full width, one less, and two thirds of these. A plan that
    leaves more than 15 % of the budget unused is not among them if another one uses it.

    Args:
        graph: Graph of the network.
        cost: Cost of a plan.
        limit: The most that it may cost.
        order: Blocks in the order in which they are left out.
        left_out: Blocks that every plan leaves out.

    Raises:
        BudgetError: No plan meets the budget.
    """
    full = graph.full_plan().leaving_out(left_out)
    fits = (n for n in range(len(order) + 1) if cost(full.leaving_out(order[:n])) <= limit.limit)
    most = next(fits, len(order))
    plans: dict[int, ChannelPlan] = {}
    failure: BudgetError | None = None
    for number in sorted({0, 2 * most // 3, max(0, most - 1), most}, reverse=True):
        try:
            plans[number] = widest_plan(graph, cost, limit.limit, limit.unit, (*left_out, *order[:number]))
        except BudgetError as error:
            failure = error
    if not plans:
        assert failure is not None
        raise failure
    used = {number: plan for number, plan in plans.items() if cost(plan) >= _LEAST_USED * limit.limit}
    return used or plans


@torch.no_grad()
def typical_error(network: nn.Module, original: nn.Module, inputs: Given) -> float:
    """Return the median over inputs of the norm of the difference of all outputs, relative to the original's outputs.

    A mean would compare the few inputs for which a network that is not trained yet leaves the range of its outputs.
    """
    errors: list[float] = []
    for i in range(len(inputs)):
        given = arguments(original, inputs[i : i + 1])
        wanted, got = (tensors_of(each(*given)) for each in (original, network))
        total = sum(float(each.float().square().sum()) for each in wanted)
        difference = sum(float((a - b).float().square().sum()) for a, b in zip(wanted, got, strict=True))
        error = (difference / total) ** 0.5 if total else math.inf
        errors.append(error if math.isfinite(error) else math.inf)
    return statistics.median(errors)
