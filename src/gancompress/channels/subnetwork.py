"""Sub-networks at a plan: on views of the wide weights (the supernet), or as a separate narrow module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.channels.graph import ChannelGraph
from gancompress.channels.left_out import leave_out
from gancompress.channels.narrow import narrow, reorder, widen_into
from gancompress.channels.plan import ChannelPlan
from gancompress.channels.skeleton import copy_structure, named_tensors, set_attributes


class SubNetwork:
    """Network at a plan, running on views of the wide weights: gradients flow into the wide tensors.

    Attributes:
        structure: Module tree at this plan's sizes; register forward hooks here to read its feature maps. Its own
            tensors are the wide ones and are not used.
    """

    def __init__(self, module: nn.Module, graph: ChannelGraph, plan: ChannelPlan) -> None:
        """Prepare a plan for running.

        Args:
            module: The module that was traced, in the training or eval mode to run in.
            graph: Its graph.
            plan: A plan that fits the graph.

        Raises:
            PlanError: The plan does not fit the graph.
        """
        graph.validate(plan)
        self.structure = structure_at(module, graph, plan)
        self._graph, self._plan, self._wide = graph, plan, named_tensors(module)
        self._wide = {name: tensor for name, tensor in self._wide.items() if plan.holds(name)}
        self._trained = tuple(name for name, tensor in self._wide.items() if tensor.requires_grad)

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        """Run the forward pass of the narrow network; arguments as those of the module.

        In training mode the running statistics of norms are updated in the wide tensors too.
        """
        # Contiguous, so that every kernel computes exactly what it computes for the narrow module.
        tensors = {name: t.contiguous() for name, t in narrow(self._wide, self._graph, self._plan).items()}
        if not torch.is_grad_enabled():  # a matrix product takes other steps for weights that need no gradient
            for name in self._trained:
                tensors[name] = tensors[name].detach().requires_grad_()
        result = torch.func.functional_call(self.structure, tensors, inputs, keywords)
        if self.structure.training:
            buffers = {name: t for name, t in self._wide.items() if name not in self._graph.parameters}
            widen_into(buffers, tensors, self._graph, self._plan)
        return result


def materialise(module: nn.Module, graph: ChannelGraph, plan: ChannelPlan) -> nn.Module:
    """Build a separate narrow module: real parameters at the plan's sizes, sharing nothing with the wide one.

    Args:
        module: The module that was traced.
        graph: Its graph.
        plan: A plan that fits the graph.

    Raises:
        PlanError: The plan does not fit the graph.
    """
    graph.validate(plan)
    tensors: dict[str, Tensor] = {}
    wide = named_tensors(module)
    for name, tensor in narrow(wide, graph, plan).items():
        own = tensor.detach().clone(memory_format=torch.contiguous_format)
        tensors[name] = nn.Parameter(own, tensor.requires_grad) if name in graph.parameters else own
    # Tensors of blocks that are left out stay shared until their modules are replaced.
    structure = leave_out(copy_structure(module, {**wide, **tensors}), plan.left_out)
    set_attributes(structure, resized_attributes(graph, plan))
    return structure


@torch.no_grad()
def reordered(module: nn.Module, graph: ChannelGraph, order: Mapping[str, Tensor]) -> nn.Module:
    """Copy a module with its channels in another order; its function is unchanged.

    Args:
        module: The module that was traced.
        graph: Its graph.
        order: See `gancompress.channels.reorder`.

    Raises:
        PlanError: A group is unknown, or its order is no permutation of its channels.
    """
    copied = materialise(module, graph, graph.full_plan())
    own = named_tensors(copied)
    for name, tensor in reorder(named_tensors(module), graph, order).items():
        own[name].copy_(tensor)
    return copied


def resized_attributes(graph: ChannelGraph, plan: ChannelPlan) -> dict[str, dict[str, int | tuple[int, ...]]]:
    """Return the size attributes of modules at this plan: ``{module path: {attribute: value}}``."""
    return {
        path: {
            name: tuple(e.at(plan.widths) for e in extent) if isinstance(extent, tuple) else extent.at(plan.widths)
            for name, extent in attributes.items()
        }
        for path, attributes in graph.attributes.items()
        if plan.holds(path)
    }


def structure_at(module: nn.Module, graph: ChannelGraph, plan: ChannelPlan) -> nn.Module:
    """Copy the module tree with its attributes at the plan's sizes, and the wide tensors still in place."""
    structure = leave_out(copy_structure(module), plan.left_out)
    set_attributes(structure, resized_attributes(graph, plan))
    return structure
