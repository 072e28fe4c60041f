"""Rules of matrix products, batched or not, and of attention as one operation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gancompress.channels.labels import Factor, Labelling, Labels, on_axis
from gancompress.channels.recording import RecordedOp, Ref
from gancompress.channels.rules.elementwise import combine, operand
from gancompress.channels.rules.layers import contract
from gancompress.channels.rules.registry import rule


@rule("mm", "bmm", "mv", "dot", "vdot", "addmm", "baddbmm", "addbmm", "addmv")
def _matmul(g: Labelling, op: RecordedOp) -> list[Labels]:
    left, right = op.inputs[-2:]
    out = op.outputs[0]
    ndim = len(g.shape(out))
    right_rank = len(g.shape(right))
    rows = g.along(left, -2) if len(g.shape(left)) > 1 else None
    columns = g.along(right, -1) if right_rank > 1 else None
    inner_left, inner_right = g.along(left, -1), g.along(right, -2 if right_rank > 1 else 0)
    contract(g, inner_left, inner_right)
    for ref, inner, outer in ((left, inner_left, rows), (right, inner_right, columns)):
        g.role(ref, inner, "in")
        g.role(ref, outer, "out")
    batch = _batch(g, (left, right)) if right_rank == 3 else ()
    product = Labels((*batch, *on_axis(rows, -2 if right_rank > 1 else -1, ndim), *on_axis(columns, -1, ndim)))
    if len(op.inputs) == 3:
        bias = op.inputs[0]
        g.role(bias, g.along(bias, -1), "bias")
        product = combine(g, [(product, g.shape(out)), operand(g, bias)], ndim)
    weight = all(g[ref].weight for ref in op.inputs)
    return [Labels(product.factors, weight=weight)]


def _batch(g: Labelling, refs: Sequence[Ref], num_axes: int = 1) -> tuple[Factor, ...]:
    """Return the factors of the result along the leading axes, which are multiplied entry by entry.

    Channels that vary along rows or columns too were tied over these axes: each head keeps the same dimensions. The
    number of heads then stays.
    """
    heads = any(max(f.shape[:num_axes]) > 1 and max(f.shape[num_axes:]) > 1 for ref in refs for f in g[ref].factors)
    operands = []
    for ref in refs:
        factors = tuple(f for f in g[ref].factors if max(f.shape[num_axes:]) == 1)
        if heads:
            for factor in factors:
                g.fix(factor, "belongs to the heads of an attention, whose dimensions are narrowed instead")
            continue
        flexible = {axis: atoms for axis, atoms in g[ref].flexible.items() if axis < num_axes}
        shape = (*g.shape(ref)[:num_axes], *(1 for _ in g.shape(ref)[num_axes:]))
        operands.append((Labels(factors, flexible), shape))
    return combine(g, operands, len(g.shape(refs[0]))).factors


@rule(
    "scaled_dot_product_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
    "_scaled_dot_product_attention_math",
    "_scaled_dot_product_attention_math_for_mps",
)
def _fused_attention(g: Labelling, op: RecordedOp) -> list[Labels]:
    """Tie the dimensions of queries and keys, over all heads; the result has those of the values."""
    query, key, value = op["query"], op["key"], op["value"]
    ndim = len(g.shape(query))
    contract(g, g.along(query, -1), g.along(key, -1))
    dimensions = g.along(value, -1)
    for ref in (query, key, value):
        _fix_tokens(g, ref)
    heads = _batch(g, (query, key, value), ndim - 2)
    mask = next((op.arguments[n] for n in ("attn_mask", "attn_bias") if op.arguments.get(n) is not None), None)
    if mask is not None:
        g.fix_tensor(mask, "is added to the scores of an attention")
    result = Labels((*heads, *on_axis(dimensions, -1, ndim)))
    return [result, *(Labels() for _ in op.outputs[1:])]


def _fix_tokens(g: Labelling, ref: Ref) -> None:
    for factor in g[ref].factors:
        if factor.shape[-2] > 1:
            g.fix(factor, "channels lie along the tokens of an attention", unfollowed=True)


def tie_multihead_attention(g: Labelling) -> None:
    """Tie queries, keys and values of PyTorch's own attention to its input: one attribute holds the width of all.

    Every head keeps the same dimensions, because the width must divide by the number of heads.
    """
    for call in g.recording.calls:
        layer = call.module
        if not isinstance(layer, nn.MultiheadAttention):
            continue
        width = g.along(call.input, -1)
        if width is not None:
            g.tie(width.reshape(layer.num_heads, -1), width[: layer.embed_dim // layer.num_heads])
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            rows = g.atoms_of(f"{call.path}.{name}".lstrip("."), 0)
            if rows is not None and width is not None:
                g.tie(rows.reshape(-1, width.size), width)
            elif rows is not None:
                g.fix(rows, "has the width of an input that cannot be narrowed")
