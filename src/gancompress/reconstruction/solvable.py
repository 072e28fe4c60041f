"""Layers of a network that a refit solves for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from torch import nn

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.channels.left_out import lies_in, modules_of
from gancompress.reconstruction.layers import has_weights, obstacle, stored_weight

STAYS = "its residual block is whole; layers outside make up for the blocks that are left out"
_WHOLE = 0.75
"""Least share of the weights of a block that counts as whole."""


def solvable_layers(network: nn.Module, calls: Mapping[str, int]) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Return the layers to solve, in the order of the pass, and the reasons why others keep their weights."""
    modules = dict(network.named_modules())
    users = Counter(id(stored_weight(layer)) for layer in modules.values() if has_weights(layer))
    solvable: dict[str, nn.Module] = {}
    left: dict[str, str] = {}
    for name, count in calls.items():
        layer = modules[name]
        if not has_weights(layer):
            continue
        reason = obstacle(layer)
        if reason is None and count > 1:
            reason = f"it is called {count} times"
        if reason is None and users[id(stored_weight(layer))] > 1:
            reason = "it shares its weight with another layer"
        if reason is None:
            solvable[name] = layer
        else:
            left[name] = reason
    return solvable, left


def in_whole_blocks(
    layers: Iterable[str], wide: nn.Module, narrow: nn.Module, graph: ChannelGraph, plan: ChannelPlan
) -> list[str]:
    """Return those layers that lie in residual blocks that keep most of their weights, if the plan leaves out others.

    Args:
        layers: Paths of layers.
        wide: The network that was pruned.
        narrow: The network at the plan.
        graph: Graph of the wide network.
        plan: The plan.
    """

    def size(network: nn.Module, block: str) -> int:
        modules = (network.get_submodule(path) for path in modules_of(block))
        return sum(parameter.numel() for module in modules for parameter in module.parameters())

    kept = [block for block in graph.blocks if plan.left_out and all(map(plan.holds, modules_of(block)))]
    whole = [block for block in kept if size(narrow, block) >= _WHOLE * size(wide, block)]
    return [layer for layer in layers if any(lies_in(layer, block) for block in whole)]
