"""Rules of operations that work position by position: sources, elementwise functions, copies, reductions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gancompress.channels.labels import FIXED, Factor, Labelling, Labels, varying
from gancompress.channels.recording import RecordedOp, Ref
from gancompress.channels.rules.registry import rule

_SAME_EVERYWHERE = {f"aten.{n}" for n in ("zeros", "ones", "full", "empty", "rand", "randn", "scalar_tensor")}


def source(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Label a tensor that is made from no other: zeros and noise take any size, other constants are fixed."""
    same = op.name in _SAME_EVERYWHERE
    return [Labels(flexible=dict.fromkeys(range(len(g.shape(out)))) if same else {}) for out in op.outputs]


@rule(*(f"{n}_like" for n in ("zeros", "ones", "full", "empty", "rand", "randn")))
@rule(*(f"new_{n}" for n in ("zeros", "ones", "full", "empty")))
def _source_like(g: Labelling, op: RecordedOp) -> list[Labels]:
    x, ndim = op["self"], len(g.shape(op.outputs[0]))
    if ndim != len(g.shape(x)):
        return [Labels(flexible=dict.fromkeys(range(ndim)))]
    return [Labels(flexible={axis: g.along(x, axis) for axis in range(ndim)})]


@rule("bernoulli_", "normal_", "uniform_", "fill_", "zero_")
def _fill(g: Labelling, op: RecordedOp) -> list[Labels]:
    return [g[op["self"]]]


def combine(g: Labelling, operands: Sequence[tuple[Labels, tuple[int, ...]]], ndim: int) -> Labels:
    """Combine the labels of elementwise operands: tie paired channels, fix channels paired with an unlabelled axis."""
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
    """Tie or fix a factor along an axis where another operand has no channels; it may vary along other axes only."""
    if factor.shape[axis] == 1:
        return factor
    first = factor.take([0], axis)
    if first.size == 1:
        g.fix(factor, "meets channels that cannot be removed")
        return factor
    g.tie(factor, first)
    return first


def operand(g: Labelling, ref: Ref) -> tuple[Labels, tuple[int, ...]]:
    """Return a tensor's labels and shape, as `combine` takes them."""
    return g[ref], g.shape(ref)


def elementwise(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Label the result of an elementwise function; its tensor arguments broadcast."""
    ndim = len(g.shape(op.outputs[0]))
    result = combine(g, [operand(g, ref) for ref in op.inputs], ndim)
    return [result for _ in op.outputs]


@rule("_weight_norm_interface")
def _weight_norm(g: Labelling, op: RecordedOp) -> list[Labels]:
    weight = combine(g, [operand(g, op["v"]), operand(g, op["g"])], len(g.shape(op["v"])))
    return [weight, g[op["g"]]]


@rule("_prelu_kernel")
def _prelu(g: Labelling, op: RecordedOp) -> list[Labels]:
    for factor in g[op["weight"]].factors:
        g.role(op["weight"], factor, "scale")
    return elementwise(g, op)


@rule("clone", "_to_copy", "alias", "detach", "contiguous", "lift_fresh", "lift", "dropout")
@rule("_softmax", "_log_softmax", "native_dropout")
def _same(g: Labelling, op: RecordedOp) -> list[Labels]:
    labels = g[op.inputs[0]]
    return [labels for _ in op.outputs]


@rule("copy_", "copy")
def _copy(g: Labelling, op: RecordedOp) -> list[Labels]:
    target, source = op["self"], op["src"]
    return [combine(g, [operand(g, target), operand(g, source)], len(g.shape(target)))]


@rule(
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
def _reduction(g: Labelling, op: RecordedOp) -> list[Labels]:
    x = op.inputs[0]
    ndim = len(g.shape(x))
    dims = op.arguments.get("dim")
    axes = set(range(ndim)) if dims in (None, []) else {d % ndim for d in ([dims] if isinstance(dims, int) else dims)}
    keepdim = bool(op.arguments.get("keepdim"))
    factors = []
    for factor in g[x].factors:
        kept = factor[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(ndim))]
        if 1 < kept.size < factor.size // kept.size:  # as over the dimensions of heads: the larger number is narrowed
            g.tie(factor, factor[tuple(slice(None) if axis in axes else slice(0, 1) for axis in range(ndim))])
        elif kept.size > 1:
            g.tie(factor, kept)
            factors.append(kept if keepdim else kept.squeeze(tuple(axes)))
    return [Labels(varying(factors), weight=g[x].weight) for _ in op.outputs]
