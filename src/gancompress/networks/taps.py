"""Automatic choice of feature maps to distil, on a recorded forward pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn

from gancompress.channels.tape import record
from gancompress.errors import TraceError

MAX_TAPS = 5
MIN_TAPS = 3
_CHANNELS_FIRST = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.GroupNorm, nn.PReLU, nn.PixelShuffle, nn.Upsample),
)
"""Layers whose outputs are [b, channels, *spatial]; outputs of linear layers are not."""


@dataclass(frozen=True)
class _Map:
    """A feature map.

    Attributes:
        path: Path of the outermost module that returns it.
        shape: Shape [channels, *spatial].
        place: Position in the forward pass.
    """

    path: str
    shape: tuple[int, ...]
    place: int


def automatic_taps(module: nn.Module, example_inputs: Sequence[Any]) -> tuple[str, ...]:
    """Choose modules whose feature maps a student can imitate.

    The maps are the outputs [b, channels, *spatial] of convolutions, of layers that follow them and of modules that
    contain them, if they run once, with any number of spatial dimensions. One is chosen at the end of every stage,
    where the number of channels or the spatial size changes; of more than five stages the largest map in each fifth of
    the forward pass, and with fewer than three also some maps inside the longest stage. Maps of the shape of an input
    or output are excluded, because they are images.

    Args:
        module: Any module whose forward pass takes tensors and does not branch on their values. It is not changed.
        example_inputs: Arguments of its forward pass; only the shapes of tensors matter.

    Returns:
        Paths of submodules in the order of the forward pass; none for a network without convolutions.

    Raises:
        TraceError: The forward pass fails on inputs of these shapes, or depends on values.
    """
    stages = _stages(_maps(module, example_inputs))
    chosen = [stage[-1] for stage in stages]
    if len(chosen) > MAX_TAPS:
        chosen = _largest_of_each_part(chosen)
    elif len(chosen) < MIN_TAPS and stages:
        longest = max(stages, key=len)
        inside = [longest[len(longest) * part // MIN_TAPS] for part in range(1, MIN_TAPS)]
        chosen = sorted({*chosen, *inside}, key=lambda each: each.place)
    return tuple(each.path for each in chosen)


def _maps(module: nn.Module, example_inputs: Sequence[Any]) -> list[_Map]:
    tape = record(module, example_inputs)
    if tape.failure is not None:
        raise TraceError(
            f"taps: the forward pass failed with {type(tape.failure.error).__name__}: "
            f"{str(tape.failure.error).splitlines()[:1]}; expected one that runs on these input shapes and does not "
            "depend on tensor values; name the modules to compare in taps"
        )
    inputs = {tensor.shape for tensor in tape.tensors if tensor.origin == "input"}
    outputs = {tape.tensors[ref.index].shape for ref in tape.outputs}
    num_calls: dict[str, int] = {}
    for call in tape.calls:
        num_calls[call.path] = num_calls.get(call.path, 0) + 1
    maps: set[int] = set()
    found: dict[int, _Map] = {}
    for call in tape.calls:  # in the order of return
        index, shape = call.output.index, tape.tensors[call.output.index].shape
        keeps_shape = call.input.index in maps and tape.tensors[call.input.index].shape == shape
        if len(shape) < 3 or not call.returns_tensor or not (keeps_shape or _is_channels_first(call.module)):
            continue
        maps.add(index)
        if call.path and num_calls[call.path] == 1 and shape not in inputs | outputs:
            found[index] = _Map(
                call.path, shape[1:], index
            )  # of modules that return one map the outermost returns last
    return sorted(found.values(), key=lambda each: each.place)


def _is_channels_first(module: nn.Module) -> bool:
    return any(isinstance(layer, _CHANNELS_FIRST) for layer in module.modules())


def _stages(maps: Sequence[_Map]) -> list[list[_Map]]:
    """Group successive maps of one shape."""
    stages: list[list[_Map]] = []
    for each in maps:
        if stages and stages[-1][-1].shape == each.shape:
            stages[-1].append(each)
        else:
            stages.append([each])
    return stages


def _largest_of_each_part(maps: Sequence[_Map]) -> list[_Map]:
    """Return the largest map in each of five equal parts of the sequence; of equally large ones the last."""
    ends = [len(maps) * part // MAX_TAPS for part in range(MAX_TAPS + 1)]
    parts = [maps[start:end] for start, end in pairwise(ends)]
    return [max(part, key=lambda each: (math.prod(each.shape), each.place)) for part in parts]
