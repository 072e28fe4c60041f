"""Importance scores that need only the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from gancompress.channels import Axis, ChannelGraph
from gancompress.errors import ConfigError

Scores = dict[str, Tensor]
"""Importance of each channel, shape ``(size,)`` for each group; higher is more important."""

Score = Callable[[Mapping[str, Tensor], ChannelGraph], Scores]
"""Function of the wide state (parameters and buffers by name) and its graph."""


def l1_incoming(state: Mapping[str, Tensor], graph: ChannelGraph) -> Scores:
    """Return the sum of ``|w|`` over the filters that compute a channel, in every layer that writes into its group.

    Source: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, section 3.1; summed over a residual stream.
    """
    return _l1(state, graph, ("out",))


def l1_first_producer(state: Mapping[str, Tensor], graph: ChannelGraph) -> Scores:
    """Return the sum of ``|w|`` over the channel's filters in the first layer that computes it; later ones follow it.

    Source: Li et al., GAN Compression, CVPR 2020, released weight transfer from teacher to student.
    """
    return _l1(state, graph, ("out",), first_only=True)


def l1_outgoing(state: Mapping[str, Tensor], graph: ChannelGraph) -> Scores:
    """Return the sum of ``|w|`` over the filters that read a channel.

    Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, baseline "l1-out".
    """
    return _l1(state, graph, ("in", "depthwise"))


def norm_scale(state: Mapping[str, Tensor], graph: ChannelGraph) -> Scores:
    """Return the sum of ``|gamma|`` over the norms on a channel.

    Source: Liu et al., Network Slimming, ICCV 2017, section 3; Wang et al., GAN Slimming, ECCV 2020.

    Raises:
        ConfigError: A group passes no norm with a scale.
    """
    return _l1(state, graph, ("scale",))


def _l1(state: Mapping[str, Tensor], graph: ChannelGraph, roles: Sequence[str], *, first_only: bool = False) -> Scores:
    scores: Scores = {}
    for name, group in graph.groups.items():
        members = list(graph.members(name, roles))
        if not members:
            raise ConfigError(
                f"score: channel group '{name}' has no weights in the role of {' or '.join(roles)}, "
                "which this score reads; choose another score, or leave the group at full width"
            )
        total = torch.zeros(group.size)
        for tensor_name, number, axis in members[:1] if first_only else members:
            weight = state[tensor_name].detach().abs().float().cpu()
            per_position = weight.movedim(number, 0).flatten(1).sum(1) if weight.ndim > 1 else weight
            total += sum_by_channel(per_position, axis, name)
        scores[name] = total
    return scores


def sum_by_channel(per_position: Tensor, axis: Axis, group: str) -> Tensor:
    """Sum the values along an axis over the positions of each channel of one group.

    Args:
        per_position: Values along the axis at full width, shape ``(positions,)``.
        axis: Its layout.
        group: A group on the axis.

    Returns:
        Shape ``(size of the group,)``.
    """
    parts, offset = [], 0
    for segment in axis.segments:
        if segment.group == group:
            values = per_position[offset : offset + segment.size]
            parts.append(values.view(segment.channels, segment.repeat).sum(1))
        offset += segment.size
    return torch.stack(parts).sum(0)
