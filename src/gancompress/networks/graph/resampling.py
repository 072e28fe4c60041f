"""Operators of graphs that move or mix pixels: padding, pooling, resizing, shuffling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_POOLS: dict[str, dict[int, Callable[..., Tensor]]] = {
    "average": {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d},
    "max": {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d},  # type: ignore[dict-item]
}


def _resize(x: Tensor, size: Any = None, *, factor: Any = None, mode: str, align: bool | None = None) -> Tensor:
    """Resize by a factor, or to a size of the last axes; modes as in `torch.nn.functional.interpolate`."""
    spatial = x.ndim - 2
    target = None if size is None else [int(each) if isinstance(each, float) else each for each in size[-spatial:]]
    factors = None if factor is None else [float(each) for each in factor[-spatial:]]
    return F.interpolate(x, target, factors, mode=mode, align_corners=align)  # type: ignore[arg-type]


def _pad(x: Tensor, pads: Any, value: Any = 0.0, *, mode: str = "constant") -> Tensor:
    """Pad; ``pads`` are begins of all axes, then ends of all axes."""
    rank = len(pads) // 2
    pairs = [(pads[axis], pads[axis + rank]) for axis in range(rank)]
    while pairs and pairs[0] == (0, 0):
        pairs = pairs[1:]
    flat = [amount for pair in reversed(pairs) for amount in pair]
    if not flat:
        return x
    return F.pad(x, flat, mode, value) if mode == "constant" else F.pad(x, flat, mode)


def _pool(x: Tensor, *, kind: str, kernel: Any, stride: Any, pads: Any, ceil: bool, count_pads: bool = True) -> Tensor:
    rank = len(kernel)
    begins, ends = pads[:rank], pads[rank:]
    if begins != ends:
        x = _pad(x, [0, 0, *begins, 0, 0, *ends], 0.0 if kind == "average" else float("-inf"))
        begins = [0] * rank
    if kind == "max":
        return _POOLS[kind][rank](x, kernel, stride, begins, ceil_mode=ceil)
    return _POOLS[kind][rank](x, kernel, stride, begins, ceil, count_pads)


def _global(function: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x, tuple(range(2, x.ndim)), True)


def _depth_to_space(x: Tensor, *, block: int, depth_first: bool) -> Tensor:
    """Move channels into space: pixel shuffle, or with the block before the channels."""
    if not depth_first:
        return F.pixel_shuffle(x, block)
    b, c, h, w = x.shape
    x = x.reshape(b, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(b, c // block**2, h * block, w * block)


def _space_to_depth(x: Tensor, *, block: int, depth_first: bool) -> Tensor:
    """Move space into channels: pixel unshuffle, or with the block before the channels."""
    if not depth_first:
        return F.pixel_unshuffle(x, block)
    b, c, h, w = x.shape
    x = x.reshape(b, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(b, c * block**2, h // block, w // block)


def _grid_sample(x: Tensor, grid: Tensor, *, mode: str, padding: str, align: bool) -> Tensor:
    return F.grid_sample(x, grid, mode, padding, align)


RESAMPLING: dict[str, Callable[..., Any]] = {
    "resize": _resize,
    "pad": _pad,
    "pool": _pool,
    "global_average": _global(torch.mean),
    "global_max": _global(torch.amax),
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
    "grid_sample": _grid_sample,
}
"""Operators by name."""
