"""Tracing of the channel graph of any module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from gancompress import channels
from gancompress.channels import ChannelGraph
from gancompress.methods.data import as_arguments


def trace(
    network: nn.Module, x: Any, *, multiple: int = 8, minimum: int = 8, fixed: Sequence[str] = ()
) -> ChannelGraph:
    """Trace the groups of channels that can only be kept or removed together.

    Args:
        network: Any module instance; it is not changed.
        x: An input of any number of dimensions, or a tuple of all arguments of its forward pass. Costs are computed for
            these shapes.
        multiple: Legal widths are multiples of this, or the full width.
        minimum: The narrowest legal width.
        fixed: Names of channel groups to leave at full width; ``*`` stands for any text.

    Returns:
        The graph: ``graph.groups`` by name, ``graph.unfollowed`` for channels that cannot be narrowed and why.

    Raises:
        TraceError: The forward pass fails on inputs of these shapes, or depends on tensor values.
        PlanError: ``fixed`` names a group that the network does not have.
    """
    return channels.trace(network, as_arguments(x, network), multiple=multiple, minimum=minimum, fixed=fixed)
