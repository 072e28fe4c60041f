"""Rules of operations that pick positions by their numbers, or reorder them along one axis."""

from __future__ import annotations

from gancompress.channels.labels import Factor, Labelling, Labels
from gancompress.channels.recording import RecordedOp
from gancompress.channels.rules.elementwise import combine
from gancompress.channels.rules.image import keep_off
from gancompress.channels.rules.registry import rule


@rule("index")
def _index(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Keep the axes that no index picks from, as of a table of relative positions with a column for each head."""
    x, out = op["self"], op.outputs[0]
    ndim = len(g.shape(x))
    indices = list(op["indices"]) + [None] * (ndim - len(op["indices"]))
    picked = [axis for axis, index in enumerate(indices) if index is not None]
    free = [axis for axis in range(ndim) if axis not in picked]
    for ref in (index for index in indices if index is not None):
        g.fix_tensor(ref, "picks positions")
    is_table = g[x].weight  # whose rows must stay
    labels = keep_off(g, x, picked, "is picked by an index", unfollowed=not is_table)
    together = picked == list(range(picked[0], picked[-1] + 1))
    start = picked[0] if together else 0
    num_new = len(g.shape(out)) - len(free)

    def move(factor: Factor) -> Factor:
        sizes = [factor.shape[axis] for axis in free]
        return factor.reshape((*sizes[:start], *[1] * num_new, *sizes[start:]))

    return [Labels(tuple(move(f) for f in labels.factors if f.size > 1), weight=g[x].weight)]


@rule("index_select")
def _index_select(g: Labelling, op: RecordedOp) -> list[Labels]:
    x = op["self"]
    return [keep_off(g, x, [op["dim"] % len(g.shape(x))], "is picked by an index")]


@rule("sort", "topk", "cumsum", "cumprod", "argsort", "kthvalue", "argmax", "argmin")
@rule("max", "min", "median")
def _along_one_axis(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Fix channels along the axis that positions are ordered, summed or compared along; the others stay as they are."""
    x, ndim = op["self"], len(g.shape(op["self"]))
    dim = op.arguments.get("dim")
    axes = list(range(ndim)) if dim is None else [dim % ndim]
    labels = keep_off(g, x, axes, f"lies along the axis of {op.name}")
    results = []
    for out in op.outputs:
        if len(g.shape(out)) == ndim:
            results.append(Labels(labels.factors))
        else:
            results.append(Labels(tuple(f.squeeze(tuple(axes)) for f in labels.factors) if dim is not None else ()))
    return results


@rule("gather", "scatter", "scatter_", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_")
def _gather(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Tie the index's other axes to the tensor's: both run over the same channels there."""
    x, ndim = op["self"], len(g.shape(op["self"]))
    axis = op["dim"] % ndim
    operands = []
    for ref in op.inputs:
        labels, shape = keep_off(g, ref, [axis], f"is picked by {op.name}"), list(g.shape(ref))
        shape[axis] = 1
        operands.append((labels, tuple(shape)))
    same = all(size == g.shape(x)[a] for ref in op.inputs for a, size in enumerate(g.shape(ref)) if a != axis)
    if not same:  # it takes leading positions of the other axes
        for ref in op.inputs:
            g.fix_tensor(ref, f"is picked in part by {op.name}", unfollowed=True)
        return [Labels()]
    return [Labels(combine(g, operands, ndim).factors)]
