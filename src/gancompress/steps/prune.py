"""Pruning: the most important channels of every group, as many as the plan says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from gancompress.channels import ChannelGraph, ChannelPlan, check_complete, narrow, reorder, resized_attributes
from gancompress.cost import widest_plan
from gancompress.errors import ConfigError
from gancompress.importance import Probe, Score, ScoreOptions, by_importance, find_score
from gancompress.models.families import find_family
from gancompress.models.generator import Generator
from gancompress.models.import_path import is_import_path
from gancompress.steps.step import Budget, Context

Fraction = Annotated[float, Field(gt=0, le=1)]
"""Of every group's channels."""


def prune(generator: Generator, graph: ChannelGraph, plan: ChannelPlan, score: Score) -> Generator:
    """Keep the most important channels of every group.

    Args:
        generator: The generator at full width.
        graph: The channel graph of the network it builds.
        plan: How many channels each group keeps.
        score: What makes a channel important.

    Returns:
        A generator of the same family, with the plan's widths in its config.

    Raises:
        PlanError: The plan does not fit the graph.
        ConfigError: The score does not apply to some group.
    """
    return cut(sort(generator, graph, score), graph, plan)


def sort(generator: Generator, graph: ChannelGraph, score: Score) -> Generator:
    """The same function with the most important channels of every group in front.

    Raises:
        ConfigError: The score does not apply to some group.
    """
    state = reorder(generator.state, graph, by_importance(score(generator.state, graph)))
    return Generator(generator.family, generator.config, _tied(state, graph), generator.resized)


def sorted_by(score: str | ScoreOptions, generator: Generator, context: Context) -> Generator:
    """`sort` by a score of a recipe; what runs the generator does so on the training data of the job.

    Raises:
        GanCompressError: The score does not apply to the generator, or to the data.
    """
    graph = context.graph(generator)

    def inputs(num_images: int, batch_size: int) -> Iterable[Mapping[str, Any]]:
        return context.images("train", batch_size, num_images)

    network = generator.build().to(context.accelerator.device)
    return sort(generator, graph, find_score(score, Probe(network, inputs, context.seed)))


def cut(generator: Generator, graph: ChannelGraph, plan: ChannelPlan) -> Generator:
    """Keep the leading channels of every group.

    Raises:
        PlanError: The plan does not fit the graph, or the state lacks a buffer that must be narrowed.
    """
    graph.validate(plan)
    check_complete(generator.state, graph, (g.name for g in graph.groups.values() if plan.widths[g.name] < g.size))
    state = _tied({name: t.clone() for name, t in narrow(generator.state, graph, plan).items()}, graph)
    if is_import_path(generator.family):
        resized = {path: dict(attributes) for path, attributes in generator.resized.items()}
        for path, attributes in resized_attributes(graph, plan).items():
            resized.setdefault(path, {}).update(attributes)
        return Generator(generator.family, generator.config, state, resized)
    config = find_family(generator.family).parse(generator.config).at_widths(plan.widths)
    return Generator(generator.family, config.model_dump(), state)


def uniform_plan(graph: ChannelGraph, keep: float | None, budget: Budget | None, step: str) -> ChannelPlan:
    """The same fraction of every group: the one that is given, or the largest that meets the budget.

    Raises:
        ConfigError: There is neither.
        BudgetError: The narrowest plan costs more than the budget.
    """
    if keep is not None:
        return graph.uniform_plan(keep)
    if budget is not None:
        return widest_plan(graph, budget.cost(graph), budget.limit, budget.unit)
    raise ConfigError(f"{step}: got neither keep nor a budget, expected one, to say how narrow the network is")


def _tied(state: dict, graph: ChannelGraph) -> dict:
    """The state with one tensor under all names of a shared parameter."""
    return state | {alias: state[name] for alias, name in graph.aliases.items() if name in state}
