"""Importance of residual blocks that can be left out, and their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.channels import ChannelGraph, is_branch, lies_in, modules_of, outermost, without_blocks
from gancompress.cost import CostModel
from gancompress.registry import Registry

BlockScore = Callable[[nn.Module, Sequence[str], Sequence[tuple[Tensor, ...]]], Mapping[str, float]]
"""Function of a network, names of its blocks, and batches of arguments; returns the importance of every block."""

BLOCK_SCORES: Registry[BlockScore] = Registry("block_scores", "a known score of blocks")
"""Every score of blocks by its name."""

_MOST_SHARE = 0.25
"""Largest share of the MACs of a block that is left out whole; of a larger one the blocks inside are."""


def register_block_score(score: BlockScore) -> BlockScore:
    """Add a score of blocks under its own name; a decorator."""
    return BLOCK_SCORES.register(score.__name__)(score)  # type: ignore[attr-defined]


@register_block_score
@torch.no_grad()
def output_error(
    network: nn.Module, blocks: Sequence[str], batches: Sequence[tuple[Tensor, ...]]
) -> Mapping[str, float]:
    """Return the relative change of the network's outputs when a block is left out: ``|y - y'| / |y|``."""
    errors = dict.fromkeys(blocks, 0.0)
    total = 0.0
    for given in batches:
        outputs = _outputs(network, given)
        total += sum(float(each.square().sum()) for each in outputs)
        for block in blocks:
            with without_blocks(network, [block]):
                changed = _outputs(network, given)
            errors[block] += sum(float((a - b).square().sum()) for a, b in zip(outputs, changed, strict=True))
    return {block: (error / total) ** 0.5 if total else 0.0 for block, error in errors.items()}


@register_block_score
@torch.no_grad()
def branch_norm(
    network: nn.Module, blocks: Sequence[str], batches: Sequence[tuple[Tensor, ...]]
) -> Mapping[str, float]:
    """Return the norm of what a block adds, relative to its input: ``|f(x)| / |x|`` for ``x + f(x)``. One pass.

    The input of the branch of a sum is that of its first module.
    """
    squares = {block: [0.0, 0.0] for block in blocks}

    def noting(block: str) -> Callable[..., None]:
        adds = is_branch(block)

        def note(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            squares[block][0] += float((output if adds else output - given[0]).square().sum())

        return note

    def noting_input(block: str) -> Callable[..., None]:
        def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            squares[block][1] += float(given[0].square().sum())

        return note

    handles = []
    for block in blocks:
        first, last = (network.get_submodule(modules_of(block)[end]) for end in (0, -1))
        handles += [first.register_forward_pre_hook(noting_input(block)), last.register_forward_hook(noting(block))]
    try:
        for given in batches:
            network(*given)
    finally:
        for handle in handles:
            handle.remove()
    return {block: (added / stream) ** 0.5 if stream else 0.0 for block, (added, stream) in squares.items()}


def candidate_blocks(graph: ChannelGraph) -> tuple[str, ...]:
    """Return the outermost blocks of at most a quarter of the MACs, in the order of the pass."""
    layers = CostModel(graph).layers(graph.full_plan())
    total = sum(macs.true for macs in layers.values())

    def share(block: str) -> float:
        own = sum(macs.true for layer, macs in layers.items() if lies_in(layer, block))
        return own / max(total, 1)

    small = [block for block in graph.blocks if share(block) <= _MOST_SHARE]
    outer = outermost(small)
    return tuple(block for block in small if block in outer)


def least_important_first(
    network: nn.Module, graph: ChannelGraph, batches: Iterable[tuple[Tensor, ...]], score: str = "output_error"
) -> tuple[str, ...]:
    """Return the blocks that may be left out of a network, in the order in which to leave them out.

    Args:
        network: The network, in evaluation mode.
        graph: Its graph.
        batches: Arguments of its forward pass.
        score: Name of a score of blocks.

    Raises:
        ConfigError: There is no such score.
    """
    blocks = candidate_blocks(graph)
    scores = BLOCK_SCORES.find(score)(network, blocks, list(batches))
    return tuple(sorted(blocks, key=lambda block: scores[block]))


def _outputs(network: nn.Module, given: Sequence[Any]) -> list[Tensor]:
    return [leaf.float() for leaf in tree_leaves(network(*given)) if isinstance(leaf, Tensor)]
