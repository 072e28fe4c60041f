"""Rules of layers with weights, and of norms."""

from __future__ import annotations

import numpy as np

from gancompress.channels.labels import Labelling, Labels, on_axis
from gancompress.channels.recording import RecordedOp
from gancompress.channels.rules.elementwise import combine, operand
from gancompress.channels.rules.registry import rule


@rule("convolution", "_convolution", "mkldnn_convolution", "cudnn_convolution")
def _convolution(g: Labelling, op: RecordedOp) -> list[Labels]:
    x, w, bias, groups, transposed = op["input"], op["weight"], op["bias"], op["groups"], op["transposed"]
    ndim = len(g.shape(x))
    images = []
    for factor in g[x].factors:
        if factor.shape[0] == factor.size > 1:  # as of kernels that are merged with others
            images.append(factor)
        elif factor.shape[1] == 1:
            g.fix(factor, "channels lie along the image of a convolution", unfollowed=True)
    for factor in g[w].factors:
        if max(factor.shape[2:]) > 1:
            g.fix(factor, "channels lie along the taps of a kernel", unfollowed=True)
    incoming, first, second = g.along(x, 1), g.along(w, 0), g.along(w, 1)
    if groups == 1:
        reading, outgoing = (first, second) if transposed else (second, first)
        contract(g, incoming, reading)
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
        contract(g, outgoing, g.along(bias, 0))
        g.role(bias, g.along(bias, 0), "bias")
    weight = all(g[ref].weight for ref in op.inputs)
    return [Labels((*images, *on_axis(outgoing, 1, ndim)), weight=weight)]


def contract(g: Labelling, a: np.ndarray | None, b: np.ndarray | None) -> None:
    """Tie two axes that are paired position by position, or fix the one whose partner has no channels."""
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
    """Return the output channels of a depthwise convolution, one group per input channel; the multiplier is fixed."""
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
    """Return the output channels of a grouped convolution; the number of groups is fixed, their channels are tied."""
    incoming = _fold(g, incoming, groups)
    if transposed:  # weight (in, out / groups, ...)
        contract(g, incoming, _fold(g, first, groups))
        return None if second is None else np.tile(second, groups)
    contract(g, incoming, second)  # weight (out, in / groups, ...)
    _fold(g, first, groups)
    return first


def _fold(g: Labelling, atoms: np.ndarray | None, groups: int) -> np.ndarray | None:
    """Tie equal positions of ``groups`` consecutive parts, and return the first part."""
    if atoms is None:
        return None
    parts = atoms.reshape(groups, -1)
    g.tie(parts, parts[:1])
    return parts[0]


@rule("embedding")
def _embedding(g: Labelling, op: RecordedOp) -> list[Labels]:
    rows = g.along(op["weight"], 0)
    if rows is not None:
        g.role(op["weight"], rows, "index")
        g.fix(rows, "is chosen by an index")
    g.fix_tensor(op["indices"], "picks positions")
    channels = g.along(op["weight"], 1)
    g.role(op["weight"], channels, "out")
    return [Labels(on_axis(channels, -1, len(g.shape(op.outputs[0]))))]


@rule(
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
)
@rule("_batch_norm_no_update", "_batch_norm_with_update", "native_group_norm")
def _channel_norm(g: Labelling, op: RecordedOp) -> list[Labels]:
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
            contract(g, channels, g.along(ref, 0))
            g.role(ref, g.along(ref, 0), role)
    statistics = Labels(on_axis(channels, 0, 1))
    return [
        g[x],
        *(
            statistics if channels is not None and g.shape(out) == channels.shape else Labels()
            for out in op.outputs[1:]
        ),
    ]


@rule("native_layer_norm")
def _layer_norm(g: Labelling, op: RecordedOp) -> list[Labels]:
    x = op["input"]
    operands = [operand(g, x)]
    for argument, role in (("weight", "scale"), ("bias", "shift")):
        ref = op[argument]
        if ref is not None:
            operands.append(operand(g, ref))
            for factor in g[ref].factors:
                g.role(ref, factor, role)
    return [combine(g, operands, len(g.shape(x))), *(Labels() for _ in op.outputs[1:])]
