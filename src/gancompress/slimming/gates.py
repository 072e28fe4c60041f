"""Gates of residual blocks: a scale on the layer whose output a block adds to its input.

With the gate at 0 the block returns its input exactly, so it can be left out without a change. A gate multiplies the
parameters of one layer, so it can be merged into them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gancompress.channels import ChannelGraph, is_branch, lies_in, modules_of

_OUTPUTS = ("out", "depthwise", "bias", "scale", "shift")
"""Roles of the axes of a layer's parameters that lie along its output."""


@dataclass(frozen=True)
class Gate:
    """Scale of what a residual block adds.

    Attributes:
        name: Name of the block.
        tensors: Names of the parameters that it multiplies.
        num_channels: Number of channels that it multiplies.
        strength: Importance of the block.
    """

    name: str
    tensors: tuple[str, ...]
    num_channels: int
    strength: float = 1.0

    def within(self, graph: ChannelGraph) -> Gate:
        """Return the same gate of a narrower network.

        Args:
            graph: The narrow network's graph.
        """
        return replace(self, num_channels=_num_channels(graph, self.tensors))


def _num_channels(graph: ChannelGraph, tensors: Sequence[str]) -> int:
    sizes = {name: group.size for name, group in graph.groups.items()}
    axes = (axis for name in tensors for axis in graph.axes(name))
    along = (axis for axis in axes if axis.role in _OUTPUTS or (axis.groups and not axis.role))
    return max((axis.extent.at(sizes) for axis in along), default=1)


def find_gates(module: nn.Module, graph: ChannelGraph, example: Sequence[Tensor]) -> tuple[Gate, ...]:
    """Return a gate for every residual block that adds the output of one layer; of nested blocks for the inner ones.

    A layer fits if the block returns its input exactly with the layer's parameters at 0, and adds half as much with
    half of them. So a layer before a norm without a scale does not fit: the norm undoes its scale.

    Args:
        module: The network in evaluation mode; it is not changed.
        graph: Its graph.
        example: Example inputs, batch of 1.
    """
    device = next(module.parameters()).device
    gates: list[Gate] = []
    with torch.no_grad(), _calls(module, {modules_of(name)[-1] for name in graph.blocks}) as calls:
        module(*(tensor.to(device) for tensor in example))
    for name in graph.blocks:  # inner ones come before outer ones
        if name in graph.groups or any(lies_in(gate.name, name) for gate in gates):
            continue
        path = modules_of(name)[-1]
        fits = partial(_fits, module.get_submodule(path), calls[path], is_branch(name))
        layer = next((each for each in _layers(module, graph, name) if fits(each[len(path) + 1 :])), None)
        if layer is not None:
            parameters = module.get_submodule(layer).named_parameters(recurse=False)
            tensors = tuple(f"{layer}.{name}" for name, _ in parameters)
            gates.append(Gate(name, tensors, _num_channels(graph, tensors)))
    return tuple(gates)


def _layers(module: nn.Module, graph: ChannelGraph, block: str) -> Iterator[str]:
    """Yield the paths of the modules with parameters in the last module of a block, those that run last first."""
    for path in dict.fromkeys(graph.ops[index].module for index in sorted(graph.blocks[block].ops, reverse=True)):
        if lies_in(path, modules_of(block)[-1]) and any(True for _ in module.get_submodule(path).parameters(False)):
            yield path


@dataclass
class _Call:
    """Arguments and output of a module."""

    given: tuple[Any, ...]
    keywords: Mapping[str, Any]
    output: Tensor


@contextmanager
def _calls(module: nn.Module, paths: set[str]) -> Iterator[Mapping[str, _Call]]:
    """Collect the calls of submodules while a network runs, by path; as copies, because layers may work in place."""
    calls: dict[str, _Call] = {}

    def note_input(path: str, _: nn.Module, given: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        calls[path] = _Call(_copied(given), _copied(keywords), torch.empty(0))

    def note_output(path: str, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        calls[path].output = output.clone()

    handles = []
    for path in paths:
        layer = module.get_submodule(path)
        handles.append(layer.register_forward_pre_hook(partial(note_input, path), with_kwargs=True))
        handles.append(layer.register_forward_hook(partial(note_output, path)))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _copied(values: Any) -> Any:
    return tree_map_only(Tensor, torch.Tensor.clone, values)


@torch.no_grad()
def _fits(block: nn.Module, call: _Call, is_branch: bool, layer: str) -> bool:
    """Return whether the parameters of a layer scale what a block adds.

    Args:
        block: The block, or the last module of a branch.
        call: Its call.
        is_branch: Whether its output is what is added, without its input.
        layer: Path of the layer in it; empty for itself.
    """
    stream = torch.zeros_like(call.output) if is_branch else call.given[0]

    def output(factor: float) -> Tensor:
        own = {name: factor * p for name, p in block.named_parameters() if name.rpartition(".")[0] == layer}
        given, keywords = _copied((call.given, call.keywords))
        return torch.func.functional_call(block, own, given, keywords)

    added, half = call.output - stream, output(0.5) - stream
    rounding = 1e-3 * added.abs().max() + 1e-6 * stream.abs().max()
    return bool((half - 0.5 * added).abs().max() <= rounding) and torch.equal(output(0.0), stream)
