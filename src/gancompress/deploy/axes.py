"""Free axes of the inputs of a file, and test cases that show that they are free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Inputs = tuple[Tensor, ...]
Axes = Mapping[int, str]

AXES_BY_RANK: Mapping[int, Axes] = {
    0: {},
    3: {0: "batch", 2: "length"},
    4: {0: "batch", 2: "height", 3: "width"},
}
"""Axes of an input by its rank; for all other ranks the first axis is the batch."""


def input_names(inputs: Inputs) -> list[str]:
    """Return the names of inputs: "input", or "input_0", "input_1", ..."""
    return ["input"] if len(inputs) == 1 else [f"input_{index}" for index in range(len(inputs))]


def default_axes(inputs: Inputs, names: Sequence[str]) -> list[Axes]:
    """Return ``batch, height, width`` of [N, C, H, W], ``batch, length`` of [N, C, L], ``batch`` of all others.

    An input whose size differs in the example has axis names of its own (``style_height``).
    """

    def axes(tensor: Tensor, name: str) -> Axes:
        like = next(each for each in inputs if each.dim() == tensor.dim())
        return {
            axis: size if axis == 0 or tensor.shape[axis] == like.shape[axis] else f"{name}_{size}"
            for axis, size in AXES_BY_RANK.get(tensor.dim(), {0: "batch"}).items()
        }

    return [axes(tensor, name) for tensor, name in zip(inputs, names, strict=True)]


def output_names(number: int) -> list[str]:
    """Return the names of a file's outputs: "output", or "output_0", "output_1", ..."""
    return ["output"] if number == 1 else [f"output_{index}" for index in range(number)]


def names_and_axes(
    inputs: Inputs, names: Sequence[str] | None, axes: Sequence[Axes] | None
) -> tuple[Sequence[str], Sequence[Axes]]:
    """Return the names and the free axes of inputs, with defaults for those not given."""
    names = input_names(inputs) if names is None else names
    return names, default_axes(inputs, names) if axes is None else axes


def one_larger_axis_each(inputs: Inputs, dynamic: Sequence[Axes]) -> list[Inputs]:
    """Return a case for each free axis. Its other axes keep their sizes, so that a failure identifies the axis."""

    def larger(axis: int, size: int) -> int:
        return size + 1 if axis == 0 else 2 * size  # networks that halve their images accept twice an accepted size

    names = dict.fromkeys(name for axes in dynamic for name in axes.values())
    return [
        tuple(
            of_shape(tensor, [larger(i, n) if axes.get(i) == name else n for i, n in enumerate(tensor.shape)])
            for tensor, axes in zip(inputs, dynamic, strict=True)
        )
        for name in names
    ]


def of_shape(example: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a tensor of this shape with values sampled from the example, always the same: of valid type and range."""
    if tuple(shape) == tuple(example.shape):
        return example
    drawn = torch.randint(example.numel(), tuple(shape), generator=torch.Generator().manual_seed(0))
    return example.flatten()[drawn.to(example.device)]


def to_trace(inputs: Inputs, dynamic: Sequence[Axes]) -> Inputs:
    """Return inputs with size at least 2 along every free axis, because size 1 would be traced as a constant."""
    sizes = [
        [max(n, 2) if i in axes else n for i, n in enumerate(x.shape)] for x, axes in zip(inputs, dynamic, strict=True)
    ]
    return tuple(of_shape(tensor, shape) for tensor, shape in zip(inputs, sizes, strict=True))


def at_batch(inputs: Inputs, batch: int) -> Inputs:
    """Resample the inputs to a batch size, with values drawn from the examples.

    Args:
        inputs: Examples, of any batch size; scalars are unchanged.
        batch: Batch size.
    """
    return tuple(of_shape(each, (batch, *each.shape[1:])) if each.dim() else each for each in inputs)


def image_size(inputs: Inputs) -> tuple[int, int] | None:
    """Return height and width of the first input, images [b, c, h, w] or label maps [b, h, w]; None for others."""
    first = inputs[0]
    if first.dim() == 4 or (first.dim() == 3 and not first.is_floating_point()):
        return int(first.shape[-2]), int(first.shape[-1])
    return None
