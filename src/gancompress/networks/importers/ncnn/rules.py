"""Layers of ncnn, translated into graph networks. Blobs of ncnn have no batch, so axes are one less than ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gancompress.networks.graph import GraphBuilder
from gancompress.networks.importers.ncnn.files import NcnnLayer, Weights

Rule = Callable[[GraphBuilder, NcnnLayer, Weights], None]
"""Translation of one layer, which reads its weights."""

_SAME_PADS = {-233: False, -234: True}
"""Automatic pads: True if the odd pixel is at the beginning."""


class Untranslatable(Exception):
    """A layer of a known type whose parameters are not supported; the message names them."""


def _operator(name: str, **options: Any) -> Rule:
    return lambda b, layer, _: b.operator(name, layer.inputs, layer.outputs, **options)


def _none(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    for made in layer.outputs:
        if layer.inputs:
            b.operator("identity", layer.inputs[:1], [made])


def _activated(b: GraphBuilder, layer: NcnnLayer, made: str) -> None:
    """Add the activation that a layer contains."""
    kind, values = layer.integer(9), layer.options.get(10, [])
    named: dict[int, tuple[str, dict[str, Any]]] = {
        1: ("relu", {}),
        2: ("leaky_relu", {"slope": values[0] if values else 0.0}),
        4: ("sigmoid", {}),
        5: ("mish", {}),
    }
    if kind == 3:
        b.operator("clamp", [made, {"value": values[0]}, {"value": values[1]}], layer.outputs)
    elif kind == 6:
        _hard_swish(b, made, values[0], values[1], layer.outputs[0])
    elif kind in named:
        name, options = named[kind]
        b.operator(name, [made], layer.outputs, **options)
    else:
        raise Untranslatable(f"{layer.kind} with activation {kind}")


def _hard_swish(b: GraphBuilder, source: str, alpha: float, beta: float, made: str) -> None:
    b.operator("hard_sigmoid", [source], [f"{made}:gate"], alpha=alpha, beta=beta)
    b.operator("mul", [source, f"{made}:gate"], [made])


def _convolution(b: GraphBuilder, layer: NcnnLayer, weights: Weights) -> None:
    transposed = layer.kind.startswith("Deconvolution")
    width, out, groups = layer.integer(1), layer.integer(0), layer.integer(7, 1)
    kernel, area = [layer.integer(11, width), width], layer.integer(11, width) * width
    dilation = [layer.integer(12, layer.integer(2, 1)), layer.integer(2, 1)]
    stride = [layer.integer(13, layer.integer(3, 1)), layer.integer(3, 1)]
    weight = weights.tagged(layer.integer(6))
    if layer.integer(8):
        raise Untranslatable(f"{layer.kind} of 8-bit integers")
    bias = weights.plain(out) if layer.integer(5) else None
    inside = weight.numel() // (out * area)
    weight = weight.reshape(out, inside, *kernel)
    left, top = layer.integer(4), layer.integer(14, layer.integer(4))
    right, bottom = layer.integer(15, left), layer.integer(16, top)
    if left in _SAME_PADS:
        totals = [max(0, d * (k - 1) + 1 - s) for k, s, d in zip(kernel, stride, dilation, strict=True)]
        less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
        (top, left), (bottom, right) = (more, less) if _SAME_PADS[left] else (less, more)
    symmetric = (left, top) == (right, bottom)
    arguments = {"in_channels": inside * groups, "out_channels": out, "kernel_size": kernel, "stride": stride}
    arguments |= {"dilation": dilation, "groups": groups, "bias": bias is not None}
    arguments["padding"] = [top, left] if symmetric else [0, 0]
    source, whole = layer.inputs[0], f"{layer.outputs[0]}:plain" if layer.integer(9) else layer.outputs[0]
    if transposed:
        if not symmetric or layer.integer(20) or layer.integer(21):
            raise Untranslatable(f"{layer.kind} with unequal pads or an output size")
        weight = weight.reshape(groups, out // groups, inside, *kernel).transpose(1, 2).flatten(0, 1)
        arguments["output_padding"] = [layer.integer(19, layer.integer(18)), layer.integer(18)]
    elif not symmetric or (layer.number(18) and any((left, top))):
        pads = [0, 0, top, left, 0, 0, bottom, right]
        b.operator("pad", [source, {"value": pads}, {"value": layer.number(18)}], [f"{whole}:padded"])
        source, arguments["padding"] = f"{whole}:padded", [0, 0]
    kind = "ConvTranspose2d" if transposed else "Conv2d"
    b.layer(layer.name, kind, arguments, {"weight": weight, "bias": bias}, (source, whole))
    if layer.integer(9):
        _activated(b, layer, whole)


def _linear(b: GraphBuilder, layer: NcnnLayer, weights: Weights) -> None:
    out = layer.integer(0)
    weight = weights.tagged(layer.integer(2)).reshape(out, -1)
    bias = weights.plain(out) if layer.integer(1) else None
    arguments = {"in_features": weight.shape[1], "out_features": out, "bias": bias is not None}
    whole = f"{layer.outputs[0]}:plain" if layer.integer(9) else layer.outputs[0]
    b.layer(layer.name, "Linear", arguments, {"weight": weight, "bias": bias}, (layer.inputs[0], whole))
    if layer.integer(9):
        _activated(b, layer, whole)


def _batch_norm(b: GraphBuilder, layer: NcnnLayer, weights: Weights) -> None:
    count = layer.integer(0)
    named = {name: weights.plain(count) for name in ("weight", "running_mean", "running_var", "bias")}
    arguments = {"num_features": count, "eps": layer.number(1)}
    b.layer(layer.name, "BatchNorm2d", arguments, named, (layer.inputs[0], layer.outputs[0]))


def _instance_norm(b: GraphBuilder, layer: NcnnLayer, weights: Weights) -> None:
    count, affine = layer.integer(0), bool(layer.integer(2, 1))
    named = {name: weights.plain(count) for name in ("weight", "bias")} if affine else {}
    arguments = {"num_features": count, "eps": layer.number(1, 1e-3), "affine": affine}
    b.layer(layer.name, "InstanceNorm2d", arguments, named, (layer.inputs[0], layer.outputs[0]))


def _group_norm(b: GraphBuilder, layer: NcnnLayer, weights: Weights) -> None:
    count, affine = layer.integer(1), bool(layer.integer(3, 1))
    named = {name: weights.plain(count) for name in ("weight", "bias")} if affine else {}
    arguments = {"num_groups": layer.integer(0), "num_channels": count, "eps": layer.number(2, 1e-3), "affine": affine}
    b.layer(layer.name, "GroupNorm", arguments, named, (layer.inputs[0], layer.outputs[0]))


def _prelu(b: GraphBuilder, layer: NcnnLayer, weights: Weights) -> None:
    slopes = weights.plain(layer.integer(0))
    arguments = {"num_parameters": slopes.numel()}
    b.layer(layer.name, "PReLU", arguments, {"weight": slopes}, (layer.inputs[0], layer.outputs[0]))


def _scale(b: GraphBuilder, layer: NcnnLayer, weights: Weights) -> None:
    count, made, shifted = layer.integer(0), layer.outputs[0], bool(layer.integer(1))
    b.known[f"{layer.name}.scale"] = weights.plain(count).view(count, 1, 1)
    b.operator("mul", [layer.inputs[0], f"{layer.name}.scale"], [f"{made}:scaled" if shifted else made])
    if shifted:
        b.known[f"{layer.name}.shift"] = weights.plain(count).view(count, 1, 1)
        b.operator("add", [f"{made}:scaled", f"{layer.name}.shift"], [made])


def _memory(b: GraphBuilder, layer: NcnnLayer, weights: Weights) -> None:
    sizes = [layer.integer(key) for key in (2, 11, 1, 0) if layer.integer(key)]
    count = 1
    for size in sizes:
        count *= size
    b.known[layer.outputs[0]] = weights.plain(count).reshape(sizes)


def _relu(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    slope = layer.number(0)
    b.operator("leaky_relu" if slope else "relu", layer.inputs, layer.outputs, **({"slope": slope} if slope else {}))


def _clip(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    limits = [{"value": layer.number(0, float("-inf"))}, {"value": layer.number(1, float("inf"))}]
    b.operator("clamp", [layer.inputs[0], *limits], layer.outputs)


_BINARY = ("add", "sub", "mul", "div", "max", "min", "pow", "sub", "div")
_REVERSED = (7, 8)


def _binary(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    kind = layer.integer(0)
    if kind >= len(_BINARY):
        raise Untranslatable(f"BinaryOp {kind}")
    given: list[Any] = [layer.inputs[0], {"value": layer.number(2)} if layer.integer(1) else layer.inputs[1]]
    b.operator(_BINARY[kind], given[::-1] if kind in _REVERSED else given, layer.outputs)


_UNARY = {0: "abs", 1: "neg", 2: "floor", 3: "ceil", 5: "sqrt", 7: "exp", 8: "log", 9: "sin", 10: "cos"}
_UNARY |= {14: "atan", 15: "reciprocal", 16: "tanh"}


def _unary(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    kind = layer.integer(0)
    if kind == 4:
        b.operator("mul", [layer.inputs[0], layer.inputs[0]], layer.outputs)
    elif kind in _UNARY:
        b.operator(_UNARY[kind], layer.inputs, layer.outputs)
    else:
        raise Untranslatable(f"UnaryOp {kind}")


def _eltwise(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    name, factors = ("mul", "add", "max")[layer.integer(0, 1)], layer.options.get(1, [])
    given: list[str] = list(layer.inputs)
    for i, factor in enumerate(factors):
        b.operator("mul", [given[i], {"value": float(factor)}], [f"{layer.outputs[0]}:{i}"])
        given[i] = f"{layer.outputs[0]}:{i}"
    left = given[0]
    for i, right in enumerate(given[1:], 1):
        made = layer.outputs[0] if i == len(given) - 1 else f"{layer.outputs[0]}:sum{i}"
        b.operator(name, [left, right], [made])
        left = made


def _interp(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    modes = {1: "nearest", 2: "bilinear", 3: "bicubic"}
    mode = modes.get(layer.integer(0))
    if mode is None or len(layer.inputs) > 1 or layer.integer(5):
        raise Untranslatable("Interp to the size of another blob")
    size = [layer.integer(3), layer.integer(4)]
    target, factor = ({"value": size}, None) if all(size) else (None, [layer.number(1, 1.0), layer.number(2, 1.0)])
    align = None if mode == "nearest" else bool(layer.integer(6))
    b.operator("resize", [layer.inputs[0], target], layer.outputs, factor=factor, mode=mode, align=align)


def _padding(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    top, bottom, left, right = (layer.integer(key) for key in range(4))
    mode = ("constant", "replicate", "reflect")[layer.integer(4)]
    if layer.integer(7) or layer.integer(8) or layer.integer(6):
        raise Untranslatable("Padding of channels or by a value for each channel")
    pads = {"value": [0, 0, top, left, 0, 0, bottom, right]}
    b.operator("pad", [layer.inputs[0], pads, {"value": layer.number(5)}], layer.outputs, mode=mode)


def _pooling(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    kind = ("max", "average")[layer.integer(0)]
    if layer.integer(4):
        b.operator(f"global_{kind}", layer.inputs, layer.outputs)
        return
    width, step, left = layer.integer(1), layer.integer(2, 1), layer.integer(3)
    if layer.integer(5) not in (0, 1) or layer.integer(7):
        raise Untranslatable("Pooling with automatic pads or an output size")
    top = layer.integer(13, left)
    options = {"kernel": [layer.integer(11, width), width], "stride": [layer.integer(12, step), step]}
    pads = [top, left, layer.integer(15, top), layer.integer(14, left)]
    counted = bool(layer.integer(6))
    b.operator(
        "pool",
        layer.inputs,
        layer.outputs,
        kind=kind,
        pads=pads,
        ceil=not layer.integer(5),
        count_pads=counted,
        **options,
    )


def _concat(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    b.operator("concat", layer.inputs, layer.outputs, axis=_axis(layer.integer(0)))


def _axis(axis: int) -> int:
    return axis + 1 if axis >= 0 else axis


def _slice(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    sizes = layer.options.get(0, [])
    axis = _axis(layer.integer(1))
    if len(layer.outputs) == 1:
        b.operator("identity", layer.inputs, layer.outputs)
    elif all(size == -233 or size == sizes[0] for size in sizes):
        b.operator("split", layer.inputs, layer.outputs, axis=axis, parts=len(layer.outputs))
    elif -233 in sizes:
        raise Untranslatable("Slice of unequal sizes that are not given")
    else:
        b.operator("split", [layer.inputs[0], {"value": sizes}], layer.outputs, axis=axis)


def _shuffle(name: str) -> Rule:
    return lambda b, layer, _: b.operator(
        name, layer.inputs, layer.outputs, block=layer.integer(0, 1), depth_first=bool(layer.integer(1))
    )


def _softmax(b: GraphBuilder, layer: NcnnLayer, _: Weights) -> None:
    b.operator("softmax", layer.inputs, layer.outputs, axis=_axis(layer.integer(0)))


RULES: dict[str, Rule] = {
    **dict.fromkeys(("Split", "Noop", "Dropout"), _none),
    **dict.fromkeys(("Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise"), _convolution),
    "InnerProduct": _linear,
    "BatchNorm": _batch_norm,
    "InstanceNorm": _instance_norm,
    "GroupNorm": _group_norm,
    "PReLU": _prelu,
    "Scale": _scale,
    "MemoryData": _memory,
    "ReLU": _relu,
    "Clip": _clip,
    "Sigmoid": _operator("sigmoid"),
    "TanH": _operator("tanh"),
    "Swish": _operator("silu"),
    "Mish": _operator("mish"),
    "GELU": _operator("gelu"),
    "HardSigmoid": lambda b, layer, _: b.operator(
        "hard_sigmoid", layer.inputs, layer.outputs, alpha=layer.number(0, 0.2), beta=layer.number(1, 0.5)
    ),
    "HardSwish": lambda b, layer, _: _hard_swish(
        b, layer.inputs[0], layer.number(0, 0.2), layer.number(1, 0.5), layer.outputs[0]
    ),
    "BinaryOp": _binary,
    "UnaryOp": _unary,
    "Eltwise": _eltwise,
    "Interp": _interp,
    "Padding": _padding,
    "Pooling": _pooling,
    "Concat": _concat,
    "Slice": _slice,
    "PixelShuffle": _shuffle("depth_to_space"),
    "Reorg": _shuffle("space_to_depth"),
    "Softmax": _softmax,
}
"""Rules by layer type of ncnn."""
