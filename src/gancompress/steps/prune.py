"""Pruning: the most important channels of every group, as many as the plan says."""

from __future__ import annotations

from gancompress.channels import ChannelGraph, ChannelPlan, narrow, reorder, resized_attributes
from gancompress.importance import Score, by_importance
from gancompress.models.families import find_family
from gancompress.models.generator import Generator
from gancompress.models.import_path import is_import_path


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
    graph.validate(plan)
    order = by_importance(score(generator.state, graph))
    state = narrow(reorder(generator.state, graph, order), graph, plan)
    state = {name: tensor.clone() for name, tensor in state.items()}
    state |= {alias: state[name] for alias, name in graph.aliases.items() if name in state}
    if is_import_path(generator.family):
        resized = {path: dict(attributes) for path, attributes in generator.resized.items()}
        for path, attributes in resized_attributes(graph, plan).items():
            resized.setdefault(path, {}).update(attributes)
        return Generator(generator.family, generator.config, state, resized)
    config = find_family(generator.family).parse(generator.config).at_widths(plan.widths)
    return Generator(generator.family, config.model_dump(), state)
