"""Rules of operations that move positions: views, permutations, slices, concatenations, shuffles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from gancompress.channels.labels import FIXED, Factor, Labelling, Labels, full, on_axis, varying
from gancompress.channels.recording import RecordedOp, Ref
from gancompress.channels.rules.elementwise import combine, operand
from gancompress.channels.rules.image import keep_off
from gancompress.channels.rules.registry import rule


def move_factors(
    g: Labelling,
    x: Ref,
    move: Callable[[Factor], Factor],
    flexible: Mapping[int, np.ndarray | None] | None = None,
) -> Labels:
    """Return the labels after a rearrangement that moves factors as it moves the tensor."""
    return Labels(varying([move(f) for f in g[x].factors]), flexible or {}, g[x].weight)


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze", "flatten", "unflatten")
def _view(g: Labelling, op: RecordedOp) -> list[Labels]:
    x, out = op.inputs[0], op.outputs[0]
    old, new = g.shape(x), g.shape(out)
    blocks = reshape_blocks(old, new)
    flexible = {}
    for old_axes, new_axes in blocks:
        sources = [a for a in old_axes if old[a] > 1]
        if all(a in g[x].flexible for a in sources):
            same = len(sources) == 1 and sum(new[a] > 1 for a in new_axes) == 1
            flexible |= {a: g[x].flexible[sources[0]] if same and new[a] > 1 else None for a in new_axes}

    def move(factor: Factor) -> Factor:
        expanded, sizes = list(factor.shape), [1] * len(new)
        for old_axes, new_axes in blocks:
            _expand_block(
                factor.shape, expanded, sizes, [(a, old[a]) for a in old_axes], [(a, new[a]) for a in new_axes]
            )
        return _repeated_to(factor, expanded).reshape(sizes)

    return [move_factors(g, x, move, flexible)]


def _expand_block(
    shape: Sequence[int],
    expanded: list[int],
    sizes: list[int],
    old: Sequence[tuple[int, int]],
    new: Sequence[tuple[int, int]],
) -> None:
    """Set the sizes of a factor before and after a reshape of one block of axes.

    A factor that is constant along the first axes of the block repeats along the whole of it, and stays one period.

    Args:
        shape: Shape of the factor.
        expanded: Shape to repeat it to before it is reshaped, changed in place.
        sizes: Shape after it, changed in place.
        old: Axes and their sizes before.
        new: Axes and their sizes after.
    """
    first = next((i for i, (axis, _) in enumerate(old) if shape[axis] > 1), None)
    if first is None:
        return
    inner = prod(size for _, size in old[first + 1 :])
    period = shape[old[first][0]] * inner
    place = len(new) - 1
    while period % new[place][1] == 0 and period > new[place][1]:
        sizes[new[place][0]] = new[place][1]
        period //= new[place][1]
        place -= 1
    if new[place][1] % period == 0:
        sizes[new[place][0]] = period
        for axis, size in old[first + 1 :]:
            expanded[axis] = size
        return
    for axis, size in old:
        expanded[axis] = size
    for axis, size in new:
        sizes[axis] = size


def _repeated_to(factor: Factor, shape: Sequence[int]) -> Factor:
    for axis, size in enumerate(shape):
        factor = full(factor, axis, size)
    return np.broadcast_to(factor, shape)


def reshape_blocks(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Return the smallest runs of axes that a reshape maps onto one another, as (old axes, new axes)."""
    blocks = []
    i = j = 0
    while i < len(old) or j < len(new):
        old_axes, new_axes, old_size, new_size = [], [], 1, 1
        while not (old_axes or new_axes) or old_size != new_size:
            take_old = i < len(old) and (old_size <= new_size or j == len(new))
            if take_old:
                old_axes.append(i)
                old_size *= old[i]
                i += 1
            else:
                new_axes.append(j)
                new_size *= new[j]
                j += 1
        blocks.append((old_axes, new_axes))
    return blocks


@rule("permute", "transpose", "t", "numpy_T", "swapaxes", "movedim")
def _permute(g: Labelling, op: RecordedOp) -> list[Labels]:
    x = op.inputs[0]
    ndim = len(g.shape(x))
    if "dims" in op.arguments:
        order = [d % ndim for d in op["dims"]]
    else:
        order = list(range(ndim))
        a, b = (op.arguments.get("dim0", 0), op.arguments.get("dim1", -1))
        if ndim > 1:
            order[a], order[b] = order[b], order[a]
    flexible = {i: g[x].flexible[axis] for i, axis in enumerate(order) if axis in g[x].flexible}
    return [move_factors(g, x, lambda f: f.transpose(order), flexible)]


@rule("expand", "repeat")
def _expand(g: Labelling, op: RecordedOp) -> list[Labels]:
    x, shape = op["self"], g.shape(op.outputs[0])
    old = (1,) * (len(shape) - len(g.shape(x))) + g.shape(x)
    offset = len(shape) - len(g.shape(x))
    if g[x].weight and offset == 0 and len(shape) > 3 and old[0] == 1:  # a learned map, one for each image
        g.role(x, g.along(x, 1), "out")
    flexible = {a: None for a in range(len(shape)) if old[a] == 1 or a - offset in g[x].flexible}

    def move(factor: Factor) -> Factor:
        return factor.reshape((1,) * offset + factor.shape)  # along a repeated axis it is one period

    return [move_factors(g, x, move, flexible)]


@rule("as_strided", "as_strided_")
def _as_strided(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Follow a change of strides that leaves the shape, as average pooling makes for channels-last images."""
    x = op["self"]
    if g.shape(x) == g.shape(op.outputs[0]) and not op.arguments.get("storage_offset"):
        return [g[x]]
    g.fix_tensor(x, f"is read in another order by {op.name}", unfollowed=True)
    return [Labels()]


@rule("flip", "roll")
def _reorder(g: Labelling, op: RecordedOp) -> list[Labels]:
    x = op["self"]
    ndim = len(g.shape(x))
    dims = [d % ndim for d in op["dims"]] or list(range(ndim))
    return [keep_off(g, x, dims, f"is reordered by {op.name}")]


@rule("select")
def _select(g: Labelling, op: RecordedOp) -> list[Labels]:
    x, axis = op["self"], op["dim"] % len(g.shape(op["self"]))
    for factor in g[x].factors:
        if factor.shape[axis] == factor.size > 1:
            g.fix(factor, "one channel is picked by its index", unfollowed=True)
    return [move_factors(g, x, lambda f: f.take(op["index"] % f.shape[axis], axis))]


@rule("unbind")
def _unbind(g: Labelling, op: RecordedOp) -> list[Labels]:
    x, axis = op["self"], op["dim"] % len(g.shape(op["self"]))
    for factor in g[x].factors:
        if factor.shape[axis] == factor.size > 1:
            g.fix(factor, "channels are taken apart one by one", unfollowed=True)
    return [move_factors(g, x, lambda f, i=i: f.take(i % f.shape[axis], axis)) for i in range(len(op.outputs))]


@rule("split", "unsafe_split", "split_with_sizes", "slice", "chunk", "narrow")
def _slice(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Tie the channels of equal parts that tile the axis, as ``chunk`` and ``x[:, :c // 2]`` expect.

    Parts of listed sizes may be narrowed apart, if the list can follow.
    """
    x, axis = op["self"], op["dim"] % len(g.shape(op["self"]))
    size, step = g.shape(x)[axis], op.arguments.get("step", 1)
    start = (op.arguments.get("start") or 0) if op.name in ("aten.slice", "aten.narrow") else 0
    start = max(0, start + size if start < 0 else start)
    results = []
    for out in op.outputs:
        length = g.shape(out)[axis]
        apart = length == size or op.name == "aten.split_with_sizes"
        for factor in g[x].factors:
            if factor.shape[axis] > 1 and not apart and step == 1 and size % length == 0 and start % length == 0:
                parts = np.moveaxis(full(factor, axis, size), axis, 0).reshape(size // length, length, -1)
                g.tie(parts, parts[:1])
        window = range(start, start + length * step, step)
        results.append(
            move_factors(
                g,
                x,
                lambda f, w=window: _window(f, axis, w),
                {a: None if a == axis else atoms for a, atoms in g[x].flexible.items()},
            )
        )
        start += length
    return results


def _window(factor: Factor, axis: int, window: range) -> Factor:
    """Return the part of a factor at these positions of an axis."""
    period = factor.shape[axis]
    if period == 1 or (window and window.step == 1 and window.start % period == 0 == len(window) % period):
        return factor
    return factor.take(np.arange(window.start, window.stop, window.step) % period, axis)


@rule("cat", "stack")
def _cat(g: Labelling, op: RecordedOp) -> list[Labels]:
    refs = op.inputs
    out_shape = g.shape(op.outputs[0])
    ndim = len(out_shape)
    axis = op["dim"] % ndim
    stacking = op.name == "aten.stack"
    operands, along = [], []
    for ref in refs:
        labels, shape = operand(g, ref)
        if stacking:
            labels = move_factors(g, ref, lambda f: np.expand_dims(f, axis), labels.flexible)
            shape = (*shape[:axis], 1, *shape[axis:])
        elif shape == (0,):
            continue  # an empty list to begin a concatenation with
        atoms = None if stacking else g.along(ref, axis)
        if atoms is None and not stacking and labels.flexible.get(axis) is not None:
            atoms = labels.flexible[axis]  # zeros in the place of channels
        along.append(np.full(shape[axis], FIXED) if atoms is None else atoms)
        others = tuple(f for f in labels.factors if f.shape[axis] == 1)
        operands.append((Labels(others, labels.flexible, labels.weight), (*shape[:axis], 1, *shape[axis + 1 :])))
    rest = combine(g, operands, ndim)
    return [Labels(varying((*rest.factors, *on_axis(np.concatenate(along), axis, ndim))), weight=rest.weight)]


@rule("glu")
def _glu(g: Labelling, op: RecordedOp) -> list[Labels]:
    x, axis = op["self"], op["dim"] % len(g.shape(op["self"]))
    half = g.shape(x)[axis] // 2
    for factor in g[x].factors:
        if factor.shape[axis] > 1:
            first, second = np.split(full(factor, axis, 2 * half), 2, axis)
            g.tie(first, second)
    return [move_factors(g, x, lambda f: full(f, axis, 2 * half).take(range(half), axis) if f.shape[axis] > 1 else f)]


@rule("channel_shuffle")
def _channel_shuffle(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Tie equal channels of the shuffled groups: each keeps the same ones, in either order."""
    x, ndim = op["self"], len(g.shape(op["self"]))
    atoms = g.along(x, 1)
    if atoms is None:
        return [g[x]]
    parts = atoms.reshape(op["groups"], -1)
    g.tie(parts, parts[:1])
    return [Labels(on_axis(np.repeat(parts[0], op["groups"]), 1, ndim))]


@rule("pixel_shuffle", "pixel_unshuffle")
def _shuffle(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Tie a channel of the finer image to its ``r * r`` channels of the coarser one."""
    x, ndim = op["self"], len(g.shape(op["self"]))
    axis = ndim - 3
    atoms = g.along(x, axis)
    keep_off(g, x, [ndim - 2, ndim - 1], f"lies along the image of {op.name}")
    if atoms is None:
        return [Labels()]
    if op.name == "aten.pixel_unshuffle":
        return [Labels(on_axis(np.repeat(atoms, op["downscale_factor"] ** 2), axis, ndim))]
    parts = atoms.reshape(-1, op["upscale_factor"] ** 2)
    g.tie(parts, parts[:, :1])
    return [Labels(on_axis(parts[:, 0], axis, ndim))]
