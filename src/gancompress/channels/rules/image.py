"""Rules of operations that mix the positions of an image: padding, pooling, resizing, sampling."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gancompress.channels.labels import Factor, Labelling, Labels
from gancompress.channels.recording import RecordedOp, Ref
from gancompress.channels.rules.registry import rule


def keep_off(g: Labelling, x: Ref, axes: Sequence[int], reason: str, *, unfollowed: bool = True) -> Labels:
    """Return the labels after an operation that reorders positions along these axes; channels along them are fixed."""
    kept = []
    for factor in g[x].factors:
        if any(factor.shape[axis] > 1 for axis in axes):
            g.fix(factor, reason, unfollowed=unfollowed)
        else:
            kept.append(factor)
    return _off(g, x, axes, kept)


def _mixed(g: Labelling, x: Ref, axes: Sequence[int], reason: str) -> Labels:
    """Return the labels after an operation that mixes positions along these axes, and treats all other axes alike.

    Positions that belong to one channel off these axes, as in a map made by a linear layer, are tied.
    """
    kept = []
    for factor in g[x].factors:
        first = factor[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(factor.ndim))]
        if first.size > 1:
            g.tie(factor, first)
            kept.append(first)
        elif factor.size > 1:
            g.fix(factor, reason, unfollowed=True)
    return _off(g, x, axes, kept)


def _off(g: Labelling, x: Ref, axes: Sequence[int], factors: Sequence[Factor]) -> Labels:
    flexible = {axis: atoms for axis, atoms in g[x].flexible.items() if axis not in axes}
    return Labels(tuple(factors), flexible, g[x].weight)


@rule(*(f"{mode}_pad{n}d" for mode in ("reflection", "replication") for n in (1, 2, 3)))
@rule("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact2d")
@rule("_upsample_nearest_exact1d", "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d")
@rule("upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")
@rule(
    "avg_pool2d",
    "avg_pool3d",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "grid_sampler_2d",
    "grid_sampler_3d",
)
@rule("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d")
@rule("gancompress.blur2d")
def _image(g: Labelling, op: RecordedOp) -> list[Labels]:
    x = op.inputs[0]
    ndim = len(g.shape(x))
    rank = int(re.findall(r"(\d)d", op.name)[-1])
    labels = _mixed(g, x, range(ndim - rank, ndim), f"lies along the image of {op.name}")
    for other in op.inputs[1:]:
        g.fix_tensor(other, f"steers {op.name}", unfollowed=True)
    return [labels for _ in op.outputs]


@rule("constant_pad_nd")
def _constant_pad(g: Labelling, op: RecordedOp) -> list[Labels]:
    x, pad = op["self"], op["pad"]
    ndim = len(g.shape(x))
    axes = [ndim - 1 - i // 2 for i, amount in enumerate(pad) if amount]
    return [_mixed(g, x, axes, "is padded along its channels")]
