"""Partition of a network into parts that can be measured alone, because each depends on few widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gancompress.channels import ChannelGraph, modules_of
from gancompress.channels.recording import RecordedOp

_MOST_GROUPS = 2


@dataclass(frozen=True)
class Part:
    """A module of a network that runs once on one tensor.

    Attributes:
        path: Path of the module.
        kind: Path of the first part that does the same on the same input, widths included.
        groups: The channel groups that its time depends on, in the order of the graph.
    """

    path: str
    kind: str
    groups: tuple[str, ...]

    def widths(self, widths: Mapping[str, int]) -> tuple[int, ...]:
        """Return the widths of its groups."""
        return tuple(widths[group] for group in self.groups)


def parts_of(network: nn.Module, graph: ChannelGraph, example: Tensor) -> tuple[Part, ...]:
    """Return the largest modules that depend on at most two channel groups; a layer is never split.

    Residual blocks thus stay whole, with everything that a runtime fuses in them, and modules around blocks that can be
    left out are split. Code that runs between the parts, in
    the forward of modules that were split, belongs to none of them.

    Args:
        network: The network that was traced.
        graph: Its graph.
        example: An input of it.
    """
    calls = calls_of(network, example)
    within = {path for block in graph.blocks for path in modules_of(block)}
    kinds: dict[Any, str] = {}

    def cut(path: str, module: nn.Module) -> Iterator[Part]:
        own = [op for op in graph.ops if path in ("", op.module) or op.module.startswith(f"{path}.")]
        groups = _groups(graph, own)
        shapes = calls.get(path, [])
        alone = len(shapes) == 1 and shapes[0] is not None and bool(own)
        children = list(module.named_children())
        around = any(each.startswith(f"{path}." if path else "") for each in within)
        if alone and not around and (len(groups) <= _MOST_GROUPS or not children):
            number = {group: place for place, group in enumerate(groups)}
            forms = tuple(
                (extent.constant, tuple((number[group], factor) for group, factor in extent.factors))
                for op in own
                for ref in (*op.inputs, *op.outputs)
                for extent in graph.shapes[ref.index].extents
            )
            kind = kinds.setdefault((repr(module), shapes[0], forms), path)
            yield Part(path, kind, groups)
            return
        for name, child in children:
            yield from cut(f"{path}.{name}" if path else name, child)

    return tuple(cut("", network))


def _groups(graph: ChannelGraph, ops: Sequence[RecordedOp]) -> tuple[str, ...]:
    found = {
        group
        for op in ops
        for ref in (*op.inputs, *op.outputs)
        for extent in graph.shapes[ref.index].extents
        for group, _ in extent.factors
    }
    return tuple(group for group in graph.groups if group in found)


def calls_of(network: nn.Module, example: Tensor) -> dict[str, list[tuple[int, ...] | None]]:
    """Return the input shape of each call of each module, by path; None for calls not from one tensor to one tensor.

    Args:
        network: The network; runs on fake tensors.
        example: Its input; only the shape matters.
    """
    calls: dict[str, list[tuple[int, ...] | None]] = {}

    def noting(path: str) -> Callable[..., None]:
        def note(_: nn.Module, given: tuple[Any, ...], options: dict[str, Any], result: Any) -> None:
            single = len(given) == 1 and not options and isinstance(given[0], Tensor) and isinstance(result, Tensor)
            calls.setdefault(path, []).append(tuple(given[0].shape) if single else None)

        return note

    handles = [module.register_forward_hook(noting(path), with_kwargs=True) for path, module in network.named_modules()]
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with torch.no_grad(), mode:
            network(mode.from_tensor(example))
    finally:
        for handle in handles:
            handle.remove()
    return calls
