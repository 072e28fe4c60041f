"""What each ATen operation does to labels.

An operation without a rule fixes the channels of all its inputs and is reported: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from gancompress.channels.labels import FIXED, Factor, Labelling, Labels, on_axis, varying
from gancompress.channels.tape import Ref, TapeOp

Rule = Callable[[Labelling, TapeOp], Sequence[Labels]]
RULES: dict[str, Rule] = {}


def apply_rule(labelling: Labelling, op: TapeOp) -> Sequence[Labels]:
    """The labels of an operation's outputs; ties and fixes are noted on the way.

    Operations without a rule of their own fall into four kinds: without tensor inputs, elementwise (ATen tags them),
        in-place
    random fills, and the rest, which cannot be followed.
    """
    rule = RULES.get(op.name)
    if rule is None and not op.inputs:
        rule = _source
    elif rule is None and torch.Tag.pointwise in op.target.tags:
        rule = _elementwise
    return (rule or _unknown)(labelling, op)


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update({f"aten.{name}": rule for name in names})
        return rule

    return register


# --- where tensors come from
#


_SAME_EVERYWHERE = {f"aten.{n}" for n in ("zeros", "ones", "full", "empty", "rand", "randn", "scalar_tensor")}


def _source(g: Labelling, op: TapeOp) -> list[Labels]:
    same = op.name in _SAME_EVERYWHERE
    return [Labels(flexible=dict.fromkeys(range(len(g.shape(out)))) if same else {}) for out in op.outputs]


@_rule(*(f"{n}_like" for n in ("zeros", "ones", "full", "empty", "rand", "randn")))
@_rule(*(f"new_{n}" for n in ("zeros", "ones", "full", "empty")))
def _source_like(g: Labelling, op: TapeOp) -> list[Labels]:
    x, ndim = op["self"], len(g.shape(op.outputs[0]))
    if ndim != len(g.shape(x)):
        return [Labels(flexible=dict.fromkeys(range(ndim)))]
    return [Labels(flexible={axis: g.along(x, axis) for axis in range(ndim)})]


@_rule("bernoulli_", "normal_", "uniform_", "fill_", "zero_")
def _fill(g: Labelling, op: TapeOp) -> list[Labels]:
    return [g[op["self"]]]


def _unknown(g: Labelling, op: TapeOp) -> list[Labels]:
    for ref in op.inputs:
        g.fix_tensor(ref, f"passes through {op.name}, whose effect on channels is not known", unfollowed=True)
    return [Labels() for _ in op.outputs]


# --- elementwise
#


def combine(g: Labelling, operands: Sequence[tuple[Labels, tuple[int, ...]]], ndim: int) -> Labels:
    """Labels of an elementwise result: channels that meet are tied, channels that meet an unlabelled axis are fixed."""
    factors: list[Factor] = []
    for labels, shape in operands:
        before = list(factors)
        for factor in labels.factors:
            aligned = factor.reshape((1,) * (ndim - len(shape)) + factor.shape)
            overlapping = [
                f for f in before if any(a > 1 and b > 1 for a, b in zip(f.shape, aligned.shape, strict=True))
            ]
            for other in overlapping:
                g.tie(aligned, other)
            if not overlapping:
                factors.append(aligned)
            elif aligned.size > overlapping[0].size:
                factors = [aligned if f is overlapping[0] else f for f in factors]
    flexible: dict[int, np.ndarray | None] = dict.fromkeys(range(ndim))
    for labels, shape in operands:
        offset = ndim - len(shape)
        for axis, size in enumerate(shape):
            labelled = any(f.shape[axis] > 1 for f in labels.factors)
            if size == 1 or axis in labels.flexible:
                if flexible.get(axis + offset, FIXED) is None:
                    flexible[axis + offset] = labels.flexible.get(axis)
                continue
            flexible.pop(axis + offset, None)
            if not labelled:
                factors = [_stay_along(g, factor, axis + offset) for factor in factors]
    weight = any(labels.weight for labels, _ in operands) and all(
        labels.weight or len(labels.flexible) == len(shape) for labels, shape in operands
    )
    return Labels(tuple(factors), flexible, weight)


def _stay_along(g: Labelling, factor: Factor, axis: int) -> Factor:
    """A factor that meets an axis without channels: it may vary only along its other axes."""
    if factor.shape[axis] == 1:
        return factor
    first = factor.take([0], axis)
    if first.size == 1:
        g.fix(factor, "meets channels that cannot be removed")
        return factor
    g.tie(factor, first)
    return first


def _operand(g: Labelling, ref: Ref) -> tuple[Labels, tuple[int, ...]]:
    return g[ref], g.shape(ref)


def _elementwise(g: Labelling, op: TapeOp) -> list[Labels]:
    ndim = len(g.shape(op.outputs[0]))
    result = combine(g, [_operand(g, ref) for ref in op.inputs], ndim)
    return [result for _ in op.outputs]


@_rule("_weight_norm_interface")
def _weight_norm(g: Labelling, op: TapeOp) -> list[Labels]:
    weight = combine(g, [_operand(g, op["v"]), _operand(g, op["g"])], len(g.shape(op["v"])))
    return [weight, g[op["g"]]]


@_rule("_prelu_kernel")
def _prelu(g: Labelling, op: TapeOp) -> list[Labels]:
    for factor in g[op["weight"]].factors:
        g.role(op["weight"], factor, "scale")
    return _elementwise(g, op)


@_rule("clone", "_to_copy", "alias", "detach", "contiguous", "lift_fresh", "lift", "dropout")
@_rule("_softmax", "_log_softmax", "native_dropout")
def _same(g: Labelling, op: TapeOp) -> list[Labels]:
    labels = g[op.inputs[0]]
    return [labels for _ in op.outputs]


# --- layers with weights
#


@_rule("convolution", "_convolution", "mkldnn_convolution", "cudnn_convolution")
def _convolution(g: Labelling, op: TapeOp) -> list[Labels]:
    x, w, bias, groups, transposed = op["input"], op["weight"], op["bias"], op["groups"], op["transposed"]
    ndim = len(g.shape(x))
    for factor in g[x].factors:
        if factor.shape[1] == 1:
            g.fix(factor, "channels lie along the batch or the image of a convolution", unfollowed=True)
    for factor in g[w].factors:
        if max(factor.shape[2:]) > 1:
            g.fix(factor, "channels lie along the taps of a kernel", unfollowed=True)
    incoming, first, second = g.along(x, 1), g.along(w, 0), g.along(w, 1)
    if groups == 1:
        reading, outgoing = (first, second) if transposed else (second, first)
        _contract(g, incoming, reading)
        g.role(w, reading, "in")
        g.role(w, outgoing, "out")
    elif groups == g.shape(x)[1]:
        outgoing = _depthwise(g, incoming, first, second, num_out=g.shape(op.outputs[0])[1])
        g.role(w, first, "depthwise")
    else:
        outgoing = _grouped(g, incoming, first, second, groups, transposed)
        g.role(w, first, "in" if transposed else "out")
        g.role(w, second, "out" if transposed else "in")
    if bias is not None:
        _contract(g, outgoing, g.along(bias, 0))
        g.role(bias, g.along(bias, 0), "bias")
    return [Labels(on_axis(outgoing, 1, ndim))]


def _contract(g: Labelling, a: np.ndarray | None, b: np.ndarray | None) -> None:
    """Two axes that are paired position by position: tie them, or fix the one whose partner has no channels."""
    if a is not None and b is not None:
        g.tie(a, b)
    for alone, partner in ((a, b), (b, a)):
        if alone is not None and partner is None:
            g.fix(alone, "meets channels that cannot be removed")


def _depthwise(
    g: Labelling,
    incoming: np.ndarray | None,
    first: np.ndarray | None,
    second: np.ndarray | None,
    num_out: int,
) -> np.ndarray | None:
    """Channels out of a convolution with a group for each channel in; the multiplier keeps its size."""
    if second is not None:  # transposed, with a multiplier: weight (in, multiplier, ...)
        g.fix(second, "is the multiplier of a depthwise transposed convolution")
    if first is None:
        return None
    if incoming is None:
        g.fix(first, "meets channels that cannot be removed")
        return first
    multiplier = num_out // incoming.size
    g.tie(first, np.repeat(incoming, first.size // incoming.size))
    return np.repeat(incoming, multiplier) if first.size == incoming.size else first


def _grouped(
    g: Labelling,
    incoming: np.ndarray | None,
    first: np.ndarray | None,
    second: np.ndarray | None,
    groups: int,
    transposed: bool,
) -> np.ndarray | None:
    """Channels out of a grouped convolution: the number of groups stays, every group keeps the same of its channels."""
    incoming = _fold(g, incoming, groups)
    if transposed:  # weight (in, out / groups, ...)
        _contract(g, incoming, _fold(g, first, groups))
        return None if second is None else np.tile(second, groups)
    _contract(g, incoming, second)  # weight (out, in / groups, ...)
    _fold(g, first, groups)
    return first


def _fold(g: Labelling, atoms: np.ndarray | None, groups: int) -> np.ndarray | None:
    """Tie equal positions of ``groups`` consecutive parts; returns the first part."""
    if atoms is None:
        return None
    parts = atoms.reshape(groups, -1)
    g.tie(parts, parts[:1])
    return parts[0]


@_rule("mm", "bmm", "mv", "dot", "vdot", "addmm", "baddbmm", "addbmm", "addmv")
def _matmul(g: Labelling, op: TapeOp) -> list[Labels]:
    left, right = op.inputs[-2:]
    out = op.outputs[0]
    ndim = len(g.shape(out))
    left_rank, right_rank = len(g.shape(left)), len(g.shape(right))
    rows = g.along(left, -2) if left_rank > 1 else None
    columns = g.along(right, -1) if right_rank > 1 else None
    inner_left, inner_right = g.along(left, -1), g.along(right, -2 if right_rank > 1 else 0)
    _contract(g, inner_left, inner_right)
    for ref, inner, outer in ((left, inner_left, rows), (right, inner_right, columns)):
        g.role(ref, inner, "in")
        g.role(ref, outer, "out")
    for ref in (left, right):
        for factor in g[ref].factors:
            if len(factor.shape) == 3 and factor.shape[0] > 1:
                g.fix(factor, "channels lie along the batch of a matrix product", unfollowed=True)
    product = Labels((*on_axis(rows, -2 if right_rank > 1 else -1, ndim), *on_axis(columns, -1, ndim)))
    if len(op.inputs) == 3:
        bias = op.inputs[0]
        g.role(bias, g.along(bias, -1), "bias")
        product = combine(g, [(product, g.shape(out)), _operand(g, bias)], ndim)
    weight = all(g[ref].weight for ref in op.inputs)
    return [Labels(product.factors, weight=weight)]


@_rule("embedding")
def _embedding(g: Labelling, op: TapeOp) -> list[Labels]:
    rows = g.along(op["weight"], 0)
    if rows is not None:
        g.role(op["weight"], rows, "index")
        g.fix(rows, "is chosen by an index")
    channels = g.along(op["weight"], 1)
    g.role(op["weight"], channels, "out")
    return [Labels(on_axis(channels, -1, len(g.shape(op.outputs[0]))))]


# --- norms
#


@_rule(
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
)
@_rule("_batch_norm_no_update", "_batch_norm_with_update", "native_group_norm")
def _channel_norm(g: Labelling, op: TapeOp) -> list[Labels]:
    x = op["input"]
    channels = g.along(x, 1)
    if channels is not None and op.name == "aten.native_group_norm" and op["group"] != g.shape(x)[1]:
        _fold(g, channels, op["group"])
    for argument, role in (
        ("weight", "scale"),
        ("bias", "shift"),
        ("running_mean", "statistic"),
        ("running_var", "statistic"),
    ):
        ref = op.arguments.get(argument)
        if ref is not None:
            _contract(g, channels, g.along(ref, 0))
            g.role(ref, g.along(ref, 0), role)
    statistics = Labels(on_axis(channels, 0, 1))
    return [
        g[x],
        *(
            statistics if channels is not None and g.shape(out) == channels.shape else Labels()
            for out in op.outputs[1:]
        ),
    ]


@_rule("native_layer_norm")
def _layer_norm(g: Labelling, op: TapeOp) -> list[Labels]:
    x = op["input"]
    operands = [_operand(g, x)]
    for argument, role in (("weight", "scale"), ("bias", "shift")):
        ref = op[argument]
        if ref is not None:
            operands.append(_operand(g, ref))
            for factor in g[ref].factors:
                g.role(ref, factor, role)
    return [combine(g, operands, len(g.shape(x))), *(Labels() for _ in op.outputs[1:])]


# --- reductions
#


@_rule(
    "mean",
    "sum",
    "prod",
    "amax",
    "amin",
    "var",
    "std",
    "var_mean",
    "linalg_vector_norm",
    "norm",
    "logsumexp",
    "any",
    "all",
)
def _reduction(g: Labelling, op: TapeOp) -> list[Labels]:
    x = op.inputs[0]
    ndim = len(g.shape(x))
    dims = op.arguments.get("dim")
    axes = set(range(ndim)) if dims in (None, []) else {d % ndim for d in ([dims] if isinstance(dims, int) else dims)}
    keepdim = bool(op.arguments.get("keepdim"))
    factors = []
    for factor in g[x].factors:
        kept = factor[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(ndim))]
        if kept.size > 1:
            g.tie(factor, kept)
            factors.append(kept if keepdim else kept.squeeze(tuple(axes)))
    return [Labels(varying(factors), weight=g[x].weight) for _ in op.outputs]


# --- moving channels about
#


def _move(
    g: Labelling,
    x: Ref,
    move: Callable[[Factor], Factor],
    flexible: Mapping[int, np.ndarray | None] | None = None,
) -> Labels:
    """Labels after a rearrangement that does to a factor what it does to the tensor."""
    return Labels(varying([move(f) for f in g[x].factors]), flexible or {}, g[x].weight)


@_rule("view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze", "flatten", "unflatten")
def _view(g: Labelling, op: TapeOp) -> list[Labels]:
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
        expanded, sizes = [1] * len(old), [1] * len(new)
        for old_axes, new_axes in blocks:
            if any(factor.shape[a] > 1 for a in old_axes):
                for a in old_axes:
                    expanded[a] = old[a]
                for a in new_axes:
                    sizes[a] = new[a]
        return np.broadcast_to(factor, expanded).reshape(sizes)

    return [_move(g, x, move, flexible)]


def reshape_blocks(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of axes that a reshape maps onto one another, as (old axes, new axes)."""
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


@_rule("permute", "transpose", "t", "numpy_T", "swapaxes", "movedim")
def _permute(g: Labelling, op: TapeOp) -> list[Labels]:
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
    return [_move(g, x, lambda f: f.transpose(order), flexible)]


@_rule("expand", "repeat")
def _expand(g: Labelling, op: TapeOp) -> list[Labels]:
    x, shape = op["self"], g.shape(op.outputs[0])
    old = (1,) * (len(shape) - len(g.shape(x))) + g.shape(x)
    copies = [n // o if o else 1 for n, o in zip(shape, old, strict=True)]
    offset = len(shape) - len(g.shape(x))
    flexible = {a: None for a in range(len(shape)) if old[a] == 1 or a - offset in g[x].flexible}

    def move(factor: Factor) -> Factor:
        factor = factor.reshape((1,) * offset + factor.shape)
        return np.tile(factor, [n if factor.shape[a] > 1 else 1 for a, n in enumerate(copies)])

    return [_move(g, x, move, flexible)]


@_rule("flip", "roll")
def _reorder(g: Labelling, op: TapeOp) -> list[Labels]:
    x = op["self"]
    ndim = len(g.shape(x))
    dims = [d % ndim for d in op["dims"]] or list(range(ndim))
    return [_spatial(g, x, dims, f"is reordered by {op.name}")]


@_rule("select")
def _select(g: Labelling, op: TapeOp) -> list[Labels]:
    x, axis = op["self"], op["dim"] % len(g.shape(op["self"]))
    for factor in g[x].factors:
        if factor.shape[axis] == factor.size > 1:
            g.fix(factor, "one channel is picked by its index", unfollowed=True)
    return [_move(g, x, lambda f: f.take(op["index"] if f.shape[axis] > 1 else 0, axis))]


@_rule("unbind")
def _unbind(g: Labelling, op: TapeOp) -> list[Labels]:
    x, axis = op["self"], op["dim"] % len(g.shape(op["self"]))
    for factor in g[x].factors:
        if factor.shape[axis] == factor.size > 1:
            g.fix(factor, "channels are taken apart one by one", unfollowed=True)
    return [_move(g, x, lambda f, i=i: f.take(i if f.shape[axis] > 1 else 0, axis)) for i in range(len(op.outputs))]


@_rule("split", "split_with_sizes", "slice", "chunk", "narrow")
def _slice(g: Labelling, op: TapeOp) -> list[Labels]:
    """Parts of equal size that tile the axis keep the same of their channels, as ``chunk`` and ``x[:, :c // 2]``
    expect.
    """
    x, axis = op["self"], op["dim"] % len(g.shape(op["self"]))
    size, step = g.shape(x)[axis], op.arguments.get("step", 1)
    start = (op.arguments.get("start") or 0) if op.name in ("aten.slice", "aten.narrow") else 0
    start = max(0, start + size if start < 0 else start)
    results = []
    for out in op.outputs:
        length = g.shape(out)[axis]
        whole = length == size
        for factor in g[x].factors:
            if factor.shape[axis] > 1 and not whole and step == 1 and size % length == 0 and start % length == 0:
                parts = np.moveaxis(factor, axis, 0).reshape(size // length, length, -1)
                g.tie(parts, parts[:1])
        window = slice(start, start + length * step, step)
        results.append(
            _move(
                g,
                x,
                lambda f, w=window: f[(slice(None),) * axis + (w,)] if f.shape[axis] > 1 else f,
                {a: None if a == axis else atoms for a, atoms in g[x].flexible.items()},
            )
        )
        start += length
    return results


@_rule("cat", "stack")
def _cat(g: Labelling, op: TapeOp) -> list[Labels]:
    refs = op.inputs
    out_shape = g.shape(op.outputs[0])
    ndim = len(out_shape)
    axis = op["dim"] % ndim
    stacking = op.name == "aten.stack"
    operands, along = [], []
    for ref in refs:
        labels, shape = _operand(g, ref)
        if stacking:
            labels = _move(g, ref, lambda f: np.expand_dims(f, axis), labels.flexible)
            shape = (*shape[:axis], 1, *shape[axis:])
        elif shape == (0,):
            continue  # an empty list to begin a concatenation with
        atoms = None if stacking else g.along(ref, axis)
        along.append(np.full(shape[axis], FIXED) if atoms is None else atoms)
        others = tuple(f for f in labels.factors if f.shape[axis] == 1)
        operands.append((Labels(others, labels.flexible, labels.weight), (*shape[:axis], 1, *shape[axis + 1 :])))
    rest = combine(g, operands, ndim)
    return [Labels(varying((*rest.factors, *on_axis(np.concatenate(along), axis, ndim))), weight=rest.weight)]


@_rule("glu")
def _glu(g: Labelling, op: TapeOp) -> list[Labels]:
    x, axis = op["self"], op["dim"] % len(g.shape(op["self"]))
    half = g.shape(x)[axis] // 2
    for factor in g[x].factors:
        if factor.shape[axis] > 1:
            first, second = np.split(factor, 2, axis)
            g.tie(first, second)
    return [_move(g, x, lambda f: f.take(range(half), axis) if f.shape[axis] > 1 else f)]


@_rule("pixel_shuffle", "pixel_unshuffle", "channel_shuffle")
def _shuffle(g: Labelling, op: TapeOp) -> list[Labels]:
    """A channel of the finer image and its ``r * r`` channels of the coarser one are kept together."""
    x, ndim = op["self"], len(g.shape(op["self"]))
    if op.name == "aten.channel_shuffle":
        return [_spatial(g, x, [1], "is reordered by a channel shuffle")]
    axis = ndim - 3
    atoms = g.along(x, axis)
    _spatial(g, x, [ndim - 2, ndim - 1], f"lies along the image of {op.name}")
    if atoms is None:
        return [Labels()]
    if op.name == "aten.pixel_unshuffle":
        return [Labels(on_axis(np.repeat(atoms, op["downscale_factor"] ** 2), axis, ndim))]
    parts = atoms.reshape(-1, op["upscale_factor"] ** 2)
    g.tie(parts, parts[:, :1])
    return [Labels(on_axis(parts[:, 0], axis, ndim))]


# --- operations on the image
#


def _spatial(g: Labelling, x: Ref, axes: Sequence[int], reason: str) -> Labels:
    """Labels after an operation that mixes positions along these axes: no channel may lie along them."""
    kept = []
    for factor in g[x].factors:
        if any(factor.shape[axis] > 1 for axis in axes):
            g.fix(factor, reason, unfollowed=True)
        else:
            kept.append(factor)
    flexible = {axis: atoms for axis, atoms in g[x].flexible.items() if axis not in axes}
    return Labels(tuple(kept), flexible, g[x].weight)


@_rule(*(f"{mode}_pad{n}d" for mode in ("reflection", "replication") for n in (1, 2, 3)))
@_rule("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact2d")
@_rule("_upsample_nearest_exact1d", "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d")
@_rule("upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")
@_rule(
    "avg_pool2d",
    "avg_pool3d",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "grid_sampler_2d",
    "grid_sampler_3d",
)
@_rule("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _image(g: Labelling, op: TapeOp) -> list[Labels]:
    x = op.inputs[0]
    ndim = len(g.shape(x))
    rank = int(re.findall(r"(\d)d", op.name)[-1])
    labels = _spatial(g, x, range(ndim - rank, ndim), f"lies along the image of {op.name}")
    for other in op.inputs[1:]:
        g.fix_tensor(other, f"steers {op.name}", unfollowed=True)
    return [labels for _ in op.outputs]


@_rule("constant_pad_nd")
def _constant_pad(g: Labelling, op: TapeOp) -> list[Labels]:
    x, pad = op["self"], op["pad"]
    ndim = len(g.shape(x))
    axes = [ndim - 1 - i // 2 for i, amount in enumerate(pad) if amount]
    return [_spatial(g, x, axes, "is padded along its channels")]


@_rule("copy_", "copy")
def _copy(g: Labelling, op: TapeOp) -> list[Labels]:
    target, source = op["self"], op["src"]
    return [combine(g, [_operand(g, target), _operand(g, source)], len(g.shape(target)))]
