"""Folding of re-parameterised blocks: branches of convolutions and norms that sum to one convolution, exactly.

The kernel is the derivative of one output position in float64. A block is replaced only if the convolution computes the
same on whole random images, borders included.

Source: Ding et al., RepVGG, CVPR 2021, section 3.3; ACNet, ICCV 2019; Diverse Branch Block, CVPR 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.channels.branches import Branches, find_branches
from gancompress.channels.recording import Recording, record
from gancompress.channels.skeleton import copy_module, copy_structure
from gancompress.networks.branches import FoldedBlock, folded_of, said_of
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given, NamedInputs, arguments

TOLERANCE = 1e-10
"""Largest difference in float64, relative to the largest value."""
_ZERO = 1e-13
_OUTPUTS_AT_ONCE = 32


@dataclass(frozen=True)
class _Folded:
    """Branches of a block, and the convolution that computes their sum."""

    branches: Branches
    layer: nn.Module


def fold(network: nn.Module, inputs: Sequence[Any]) -> tuple[nn.Module, dict[str, FoldedBlock]]:
    """Return a copy with one convolution instead of each re-parameterised block, and these convolutions by path.

    Args:
        network: Any module; it is not changed. Without such blocks it is returned itself.
        inputs: Arguments of its forward pass; only the shapes of tensors matter.
    """
    with torch.random.fork_rng(devices=[]):  # fresh layers must not change later random draws
        recording = record(network, inputs)
        if recording.failure is not None:
            return network, {}
        found: dict[str, _Folded] = {}
        for branches in find_branches(network, recording):
            if not any(branches.path.startswith(f"{path}.") for path in found):
                layer = merged(network.get_submodule(branches.path), branches)
                if layer is not None:
                    found[branches.path] = _Folded(branches, layer)
        found = _that_run(network, inputs, recording, found)
    if not found:
        return network, {}
    network = _replaced(copy_module(network), found)
    folded = folded_of(network)
    return network, {path: folded[path] for path in folded if path in found}


def fold_generator(
    generator: Generator, inputs: Given | Sequence[Any], say: Callable[[str], None] | None = None
) -> Generator:
    """Return a generator with its re-parameterised blocks folded; itself if it has none, or is one of a family.

    Args:
        generator: The generator.
        inputs: Its inputs, or all arguments of its forward pass; only the shapes of tensors matter.
        say: Receives a line about the folded blocks.
    """
    if not generator.architecture.may_fold:
        return generator
    network = generator.build()
    given = arguments(network, inputs) if isinstance(inputs, Tensor | NamedInputs) else inputs
    network, folded = fold(network, given)
    if not folded:
        return generator
    if say is not None:
        say(said_of(folded))
    return Generator(generator.architecture.with_folded(folded), generator.state).with_weights_of(network)


def merged(block: nn.Module, branches: Branches) -> nn.Module | None:
    """Return the convolution that computes the sum of a block's branches; None if there is none that is no larger.

    Args:
        block: The block.
        branches: Its channels, strides and sizes.
    """
    least = branches.out_channels * branches.in_channels // branches.groups * math.prod(branches.kernel_size)
    if least > branches.num_weights:
        return None
    wide = copy_module(block).cpu().double().eval()
    if branches.tail:
        wide.set_submodule(branches.tail, nn.Identity())
    try:
        with torch.inference_mode(False), torch.enable_grad():
            layer = next((each for each in _candidates(wide, branches) if _agrees(wide, each, branches)), None)
    except Exception:  # a block that takes only one size, or only float32, fails in any way
        return None
    if layer is None or _num_parameters(layer) > _num_parameters(wide):
        return None
    own = next(block.parameters())
    layer.requires_grad_(any(each.requires_grad for each in block.parameters()))
    return layer.to(own.device, own.dtype).train(block.training)


def _side(branches: Branches) -> int:
    """Return the side of images whose middle no border reaches, in pixels."""
    return 2 * branches.reach + 4 * max(branches.stride) + 1


def _candidates(block: nn.Module, branches: Branches) -> Iterator[nn.Module]:
    """Yield convolutions with the kernel of a block, of every padding that gives images of its sizes."""
    side, axes = _side(branches), range(len(branches.stride))
    taps, shift, made = _middle(block, branches, side)
    present = taps.abs() > _ZERO * taps.abs().max()
    groups = branches.groups if _is_grouped(present.flatten(2).any(2), branches.groups) else 1
    options = []
    for axis in axes:
        support = present.movedim(2 + axis, 0).flatten(1).any(1).nonzero()
        middle = made[axis] // 2 * branches.stride[axis]
        before, after = middle - int(support.min()), int(support.max()) - middle
        options.append(_paddings(branches, axis, side, made[axis], before, after))
    bias = branches.shifts or bool(shift.abs().max() > 0)
    for chosen in product(*options):
        kernel = taps
        for axis, (size, padding) in zip(axes, chosen, strict=True):
            kernel = kernel.narrow(2 + axis, made[axis] // 2 * branches.stride[axis] - padding, size)
        if groups > 1:
            rows, columns = kernel.shape[0] // groups, kernel.shape[1] // groups
            kernel = torch.cat([kernel[i * rows :][:rows, i * columns :][:, :columns] for i in range(groups)])
        if kernel.numel() > branches.num_weights:
            continue
        sizes, paddings = zip(*chosen, strict=True)
        channels = branches.in_channels, branches.out_channels
        layer = FoldedBlock(*channels, sizes, branches.stride, paddings, groups, bias).layer().double()
        layer.load_state_dict({"weight": kernel, **({"bias": shift} if bias else {})})
        yield layer


def _middle(block: nn.Module, branches: Branches, side: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Return the derivative of the output's middle position by the input, its value for zeros, and the output's size.

    Shapes: [out_channels, in_channels, *spatial], [out_channels], *spatial.
    """
    spatial = [side] * len(branches.stride)
    rows, shift, made = [], torch.zeros(0), ()
    for first in range(0, branches.out_channels, _OUTPUTS_AT_ONCE):
        count = min(_OUTPUTS_AT_ONCE, branches.out_channels - first)
        x = torch.zeros(count, branches.in_channels, *spatial, dtype=torch.float64, requires_grad=True)
        output = block(x * 1)
        made = tuple(output.shape[2:])
        middle = output[(..., *(size // 2 for size in made))]
        shift = middle[0].detach()
        numbers = torch.arange(count)
        rows.append(torch.autograd.grad(middle[numbers, first + numbers].sum(), x)[0])
    return torch.cat(rows), shift, made


def _paddings(branches: Branches, axis: int, side: int, made: int, before: int, after: int) -> list[tuple[int, int]]:
    """Return kernel sizes with their padding that hold all taps of an axis and give its output size.

    Args:
        branches: Strides and sizes.
        axis: The axis.
        side: Size of the input.
        made: Size of the output.
        before: Taps before the position of the output.
        after: Taps after it.
    """
    stride, least = branches.stride[axis], branches.kernel_size[axis]
    found = []
    for padding in range(max(before, 0), max(before, 0) + branches.reach + 1):
        largest = side + 2 * padding - (made - 1) * stride
        sizes = range(largest - stride + 1, largest + 1)
        found += [(size, padding) for size in sizes if max(padding + after + 1, least) <= size <= branches.reach + 1]
    return found


def _is_grouped(present: Tensor, groups: int) -> bool:
    """Return whether the channels [out, in] that depend on one another lie within groups."""
    rows, columns = present.shape
    if rows % groups or columns % groups:
        return False
    blocks = present.view(groups, rows // groups, groups, columns // groups).any(3).any(1)
    return not bool((blocks & ~torch.eye(groups, dtype=torch.bool)).any())


@torch.no_grad()
def _agrees(block: nn.Module, layer: nn.Module, branches: Branches) -> bool:
    """Return whether a convolution computes the same on whole random images of several sizes."""
    draw, side = torch.Generator().manual_seed(0), _side(branches)
    for more in range(max(branches.stride) + 1):
        spatial = [side + more + axis for axis in range(len(branches.stride))]
        x = torch.randn(2, branches.in_channels, *spatial, generator=draw, dtype=torch.float64)
        wanted, got = block(x.clone()), layer(x)
        if wanted.shape != got.shape or not (wanted - got).abs().max() <= TOLERANCE * wanted.abs().max():
            return False
    return True


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _that_run(
    network: nn.Module, inputs: Sequence[Any], recording: Recording, found: Mapping[str, _Folded]
) -> dict[str, _Folded]:
    """Return the blocks without which the network runs as before; all of one class, or none of it."""
    if not found or _runs(network, inputs, recording, found):
        return dict(found)
    kept: dict[str, _Folded] = {}
    for kind in {type(network.get_submodule(path)) for path in found}:
        own = {path: each for path, each in found.items() if type(network.get_submodule(path)) is kind}
        if _runs(network, inputs, recording, own):
            kept |= own
    return {path: each for path, each in found.items() if path in kept}


def _runs(network: nn.Module, inputs: Sequence[Any], recording: Recording, found: Mapping[str, _Folded]) -> bool:
    """Return whether the pass with convolutions instead of blocks is the same one with one operation for each."""
    short = record(_replaced(copy_structure(network), found), inputs)
    starts = {each.branches.start for each in found.values()}
    inside = {index for each in found.values() for index in range(each.branches.start, each.branches.end)}
    expected = [
        "aten.convolution" if index in starts else op.name
        for index, op in enumerate(recording.ops)
        if index in starts or index not in inside
    ]
    return short.failure is None and expected == [op.name for op in short.ops]


def _replaced(network: nn.Module, found: Mapping[str, _Folded]) -> nn.Module:
    for path, each in found.items():
        block = network.get_submodule(path)
        described = replace(FoldedBlock.of(each.layer), tail=each.branches.tail)
        network.set_submodule(path, described.instead_of(block, each.layer))
    return network
