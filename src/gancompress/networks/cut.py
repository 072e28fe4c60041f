"""Narrowing of a generator to a plan."""

from __future__ import annotations

from gancompress.channels import ChannelGraph, ChannelPlan, check_complete, narrow
from gancompress.networks.generator import Generator


def cut(generator: Generator, graph: ChannelGraph, plan: ChannelPlan) -> Generator:
    """Keep the leading channels of every group, and leave out the blocks of the plan.

    Raises:
        PlanError: The plan does not fit the graph, or the state lacks a buffer that must be narrowed.
    """
    graph.validate(plan)
    check_complete(generator.state, graph, (g.name for g in graph.groups.values() if plan.widths[g.name] < g.size))
    state = _tied({name: t.clone() for name, t in narrow(generator.state, graph, plan).items()}, graph)
    return Generator(generator.architecture.narrowed(graph, plan), state)


def _tied(state: dict, graph: ChannelGraph) -> dict:
    """Return the state with one tensor under all names of a shared parameter."""
    return state | {alias: state[name] for alias, name in graph.aliases.items() if name in state and alias in state}
