"""Narrowing of tensors to their leading channels, and the reordering of channels before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from gancompress.channels.graph import ChannelGraph
from gancompress.channels.layout import Axis
from gancompress.channels.plan import ChannelPlan
from gancompress.errors import PlanError


def narrow(state: Mapping[str, Tensor], graph: ChannelGraph, plan: ChannelPlan) -> dict[str, Tensor]:
    """Narrow every tensor to its leading channels.

    Args:
        state: Parameters and buffers by name, at full width.
        graph: The graph of the module they belong to.
        plan: The width of every group.

    Returns:
        The tensors that lie in no block left out: views into the given ones if the kept positions lead their axis;
        otherwise gathered copies (through which gradients flow), as after a concatenation.
    """
    return {
        name: _narrow_tensor(tensor, graph.axes(name), plan.widths)
        for name, tensor in state.items()
        if plan.holds(name)
    }


def narrow_shapes(graph: ChannelGraph, plan: ChannelPlan) -> dict[str, tuple[int, ...]]:
    """Return the shapes that `narrow` gives the tensors that carry channels, by name."""
    return {
        name: tuple(axis.extent.at(plan.widths) for axis in axes)
        for name, axes in graph.tensors.items()
        if plan.holds(name) and any(axis.groups for axis in axes)
    }


def _narrow_tensor(tensor: Tensor, axes: tuple[Axis, ...], widths: Mapping[str, int]) -> Tensor:
    for number, axis in enumerate(axes):
        size = axis.extent.at(widths) if axis.groups else tensor.shape[number]
        if size == tensor.shape[number]:
            continue
        if len(axis.segments) == 1:
            tensor = tensor.narrow(number, 0, size)
        else:
            leading = {group: np.arange(widths[group]) for group in axis.groups}
            positions = torch.from_numpy(axis.kept(leading)).to(tensor.device)
            tensor = tensor.index_select(number, positions)
    return tensor


def widen_into(
    state: Mapping[str, Tensor], narrowed: Mapping[str, Tensor], graph: ChannelGraph, plan: ChannelPlan
) -> None:
    """Write narrowed tensors back into the full-width tensors in place; views need no copy.

    Args:
        state: Tensors at full width, changed in place.
        narrowed: Result of `narrow`, with new values.
        graph: The graph of the module they belong to.
        plan: The plan they were narrowed at.
    """
    for name, wide in state.items():
        values = narrowed[name]
        if values.untyped_storage().data_ptr() == wide.untyped_storage().data_ptr():
            continue
        leading = {group: np.arange(width) for group, width in plan.widths.items()}
        positions = [torch.from_numpy(axis.kept(leading)) for axis in graph.axes(name)]
        with torch.no_grad():
            wide[torch.meshgrid(*positions, indexing="ij")] = values


def reorder(state: Mapping[str, Tensor], graph: ChannelGraph, order: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Permute channels consistently over all coupled tensors; the function of the network is unchanged.

    Args:
        state: Parameters and buffers by name, at full width.
        graph: The graph of the module they belong to.
        order: For each group the old channel numbers in their new order, shape ``(size,)``; other groups are unchanged.

    Returns:
        New tensors; a tensor that no named group lies on is returned unchanged.

    Raises:
        PlanError: A group is unknown, its order is no permutation of its channels, or the state lacks one of its
            tensors.
    """
    for name, channels in order.items():
        if name not in graph.groups:
            raise PlanError(f"order: no channel group '{name}'")
        if not torch.equal(channels.sort().values.cpu(), torch.arange(graph.groups[name].size)):
            raise PlanError(f"order: '{name}' expected a permutation of {graph.groups[name].size} channels")
    check_complete(state, graph, order)
    channels_by_group = {name: channels.cpu().numpy() for name, channels in order.items()}
    result = {}
    for name, tensor in state.items():
        for number, axis in enumerate(graph.axes(name)):
            if any(group in order for group in axis.groups):
                positions = torch.from_numpy(axis.kept(channels_by_group)).to(tensor.device)
                tensor = tensor.index_select(number, positions)
        result[name] = tensor
    return result


def check_complete(state: Mapping[str, Tensor], graph: ChannelGraph, groups: Iterable[str]) -> None:
    """Check that a state holds every tensor that these groups lie on.

    Raises:
        PlanError: A tensor is missing, as non-persistent buffers are from a state dict.
    """
    held = {graph.aliases.get(name, name) for name in state}
    wanted = set(groups)
    for name, axes in graph.tensors.items():
        if name not in held and any(wanted.intersection(axis.groups) for axis in axes):
            raise PlanError(
                f"state: '{name}' is missing, which carries channels that change; "
                "make that buffer persistent, or leave its group at full width"
            )
