"""ONNX operators without weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gancompress.networks.importers.onnx.node import Node, Rule, Translation, Untranslatable

_TYPES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float32", 11: "float32", 16: "float32"}
"""Types by ONNX number; networks compute in float32."""

_SAME = {
    **{name: name.lower() for name in ("Abs", "Neg", "Exp", "Log", "Sqrt", "Sin", "Cos", "Erf", "Sigmoid", "Tanh")},
    **{name: name.lower() for name in ("Floor", "Ceil", "Round", "Sign", "Reciprocal", "Atan", "Not", "Relu")},
    **{name: name.lower() for name in ("Softsign", "Softplus", "Mish", "Selu", "Identity", "Add", "Sub", "Mul")},
    **{name: name.lower() for name in ("Div", "Pow", "Equal", "Greater", "Less", "And", "Or", "Where", "Range")},
    "HardSwish": "hard_swish",
    "GlobalAveragePool": "global_average",
    "GlobalMaxPool": "global_max",
    "Expand": "expand",
}


def _same(name: str) -> Rule:
    return lambda t, node: t.add(name, node)


def _first(t: Translation, node: Node) -> None:
    t.builder.operator("identity", [node.input(0)], node.outputs[:1])


def _option(name: str, option: str, attribute: str, default: float) -> Rule:
    return lambda t, node: t.add(name, node, node.input(0), **{option: float(node.get(attribute, default))})


def _hard_sigmoid(t: Translation, node: Node) -> None:
    t.add("hard_sigmoid", node, alpha=float(node.get("alpha", 0.2)), beta=float(node.get("beta", 0.5)))


def _gelu(t: Translation, node: Node) -> None:
    t.add("gelu", node, approximate=node.get("approximate", "none"))


def _clip(t: Translation, node: Node) -> None:
    low = node.get("min", t.numbers(node.input(1)))
    high = node.get("max", t.numbers(node.input(2)))
    limits = [None if each is None else {"value": each[0] if isinstance(each, list) else each} for each in (low, high)]
    t.add("clamp", node, node.input(0), *limits)


def _many(name: str) -> Rule:
    """Return the rule of an operator of any number of inputs, by pairs."""

    def rule(t: Translation, node: Node) -> None:
        left = node.input(0)
        for i, right in enumerate(node.inputs[1:], 1):
            made = node.outputs[0] if i == len(node.inputs) - 1 else f"{node.outputs[0]}:{i}"
            t.builder.operator(name, [left, right], [made])
            left = made
        if len(node.inputs) == 1:
            _first(t, node)

    return rule


def _softmax(name: str) -> Rule:
    def rule(t: Translation, node: Node) -> None:
        axis = int(node.get("axis", -1 if t.version >= 13 else 1))
        if t.version < 13 and axis not in (-1, t.rank(node.input(0)) - 1):
            raise Untranslatable("Softmax of several axes")
        t.add(name, node, axis=axis)

    return rule


def _concat(t: Translation, node: Node) -> None:
    t.add("concat", node, axis=int(node.get("axis")))


def _slice(t: Translation, node: Node) -> None:
    if "starts" in node.attributes:
        given = [{"value": list(node.get(name))} if node.get(name) else None for name in ("starts", "ends", "axes")]
        t.add("slice", node, node.input(0), *given)
    else:
        t.add("slice", node)


def _split(t: Translation, node: Node) -> None:
    axis, sizes = int(node.get("axis", 0)), node.get("split") or t.numbers(node.input(1))
    if sizes is None:
        t.add("split", node, node.input(0), axis=axis, parts=len(node.outputs))
    elif len(sizes) == 1:  # one output, which is no tuple
        _first(t, node)
    elif len(set(sizes)) == 1:  # by number, so that the parts of a narrow value are narrow
        t.add("split", node, node.input(0), axis=axis, parts=len(sizes))
    else:
        t.add("split", node, node.input(0), {"value": list(sizes)}, axis=axis)


def _gather(t: Translation, node: Node) -> None:
    t.add("gather", node, axis=int(node.get("axis", 0)))


def _axes(name: str) -> Rule:
    """Return the rule of an operator whose axes are an attribute, or a known input since version 13 or 18."""

    def rule(t: Translation, node: Node) -> None:
        axes = node.get("axes", t.numbers(node.input(1)))
        t.add(name, node, node.input(0), axes=None if axes is None else list(axes))

    return rule


def _reduce(name: str) -> Rule:
    def rule(t: Translation, node: Node) -> None:
        axes = node.get("axes", t.numbers(node.input(1)))
        if not axes and node.get("noop_with_empty_axes", 0):
            _first(t, node)
            return
        keep = bool(node.get("keepdims", 1))
        t.add(name, node, node.input(0), axes=list(axes) if axes else None, keepdims=keep)

    return rule


def _reshape(t: Translation, node: Node) -> None:
    source, shape = node.input(0), node.input(1)
    target = t.builder.known.get(shape)
    if node.get("allowzero", 0) and isinstance(target, list) and 0 in target:
        raise Untranslatable("Reshape to an axis of size 0")
    if isinstance(target, list) and len(target) > 1 and _keeps_batch(t.shapes.get(source, ()), target):
        # The first axis is the batch, which stays free in a file that was exported for one image. The second one
        # follows from the others, so that channels can be removed.
        rest = [-1, *target[2:]] if len(target) in (3, 4) and -1 not in target[1:] else target[1:]
        t.add("reshape", node, source, {"value": [0, *rest]})
    else:
        t.add("reshape", node, source, shape)


def _keeps_batch(source: Sequence[int | None], target: list[int]) -> bool:
    """Return whether the first axis of a value is also that of its new shape."""
    if not source or (target[0] == 0 and -1 in target[1:]):
        return False
    if target[0] in (0, 1) or None in source[1:] or -1 in target[1:] or 0 in target[1:]:
        return target[0] == 0 or (target[0] == source[0] == 1)
    return math.prod(target[1:]) == math.prod(each or 0 for each in source[1:])


def _shape(t: Translation, node: Node) -> None:
    t.add("shape", node, start=node.get("start"), end=node.get("end"))


def _cast(t: Translation, node: Node) -> None:
    kind = _TYPES.get(int(node.get("to")))
    if kind is None:
        raise Untranslatable(f"Cast to type {node.get('to')}")
    t.add("cast", node, dtype=kind)


def _full(t: Translation, node: Node) -> None:
    value = node.get("value")
    number: Any = 0.0 if value is None else value.flatten()[0].item()
    t.add("full", node, node.input(0), {"value": number})


def _pad(t: Translation, node: Node) -> None:
    mode = {"edge": "replicate", "wrap": "circular"}.get(node.get("mode", "constant"), node.get("mode", "constant"))
    pads: Any = {"value": list(node.get("pads"))} if "pads" in node.attributes else node.input(1)
    axes = t.numbers(node.input(3))
    if axes is not None:
        given, rank = t.numbers(node.input(1)), t.rank(node.input(0))
        every = [0] * (2 * rank)
        for i, axis in enumerate(axes):
            every[axis % rank], every[axis % rank + rank] = given[i], given[i + len(axes)]
        pads = {"value": every}
    value = {"value": float(node.get("value"))} if "value" in node.attributes else node.input(2)
    t.add("pad", node, node.input(0), pads, value or {"value": 0.0}, mode=mode)


def _resize(t: Translation, node: Node) -> None:
    upsample = node.operator == "Upsample"
    mode, spatial = node.get("mode", "nearest"), t.rank(node.input(0)) - 2
    factor = node.get("scales") or t.numbers(node.input(1 if upsample else 2) if len(node.inputs) > 1 else "")
    sizes = "" if upsample else node.input(3)
    place = node.get("coordinate_transformation_mode", "asymmetric" if upsample else "half_pixel")
    how = node.get("nearest_mode", "floor" if upsample else "round_prefer_floor")
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}.get(spatial, "linear")
    named = {"nearest": "nearest", "linear": linear, "cubic": "bicubic"}.get(mode)
    whole = factor is not None and all(each == int(each) for each in factor)
    plain = place in ("half_pixel", "pytorch_half_pixel") and mode != "nearest"
    nearest = mode == "nearest" and ((place, how) == ("asymmetric", "floor") or (place == "half_pixel" and whole))
    if named is None or not (plain or nearest or (place == "align_corners" and mode != "nearest")):
        raise Untranslatable(f"{node.operator} of mode {mode}, {place}, {how}")
    if node.get("antialias", 0) or (mode == "cubic" and node.get("cubic_coeff_a", -0.75) != -0.75):
        raise Untranslatable(f"{node.operator} with antialias or another cubic coefficient")
    align = None if mode == "nearest" else place == "align_corners"
    t.add("resize", node, node.input(0), sizes, factor=None if sizes else factor, mode=named, align=align)


def _depth_to_space(t: Translation, node: Node) -> None:
    name = "depth_to_space" if node.operator == "DepthToSpace" else "space_to_depth"
    t.add(name, node, block=int(node.get("blocksize")), depth_first=node.get("mode", "DCR") == "DCR")


def _pool(kind: str) -> Rule:
    def rule(t: Translation, node: Node) -> None:
        kernel = list(node.get("kernel_shape"))
        if node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or any(d != 1 for d in node.get("dilations", [])):
            raise Untranslatable(f"{node.operator} with auto_pad or dilations")
        options = {"kernel": kernel, "stride": list(node.get("strides", [1] * len(kernel)))}
        options |= {"pads": list(node.get("pads", [0] * 2 * len(kernel))), "ceil": bool(node.get("ceil_mode", 0))}
        t.add("pool", node, kind=kind, count_pads=bool(node.get("count_include_pad", 0)), **options)

    return rule


def _grid_sample(t: Translation, node: Node) -> None:
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(node.get("mode", "linear"), node.get("mode", "bilinear"))
    align = bool(node.get("align_corners", 0))
    t.add("grid_sample", node, mode=mode, padding=node.get("padding_mode", "zeros"), align=align)


RULES: dict[str, Rule] = {
    **{theirs: _same(ours) for theirs, ours in _SAME.items()},
    **{f"Reduce{name}": _reduce(f"reduce_{name.lower()}") for name in ("Mean", "Sum", "Max", "Min", "L2", "Prod")},
    "ReduceSumSquare": _reduce("reduce_square_sum"),
    "Dropout": _first,
    "LeakyRelu": _option("leaky_relu", "slope", "alpha", 0.01),
    "Elu": _option("elu", "alpha", "alpha", 1.0),
    "Celu": _option("celu", "alpha", "alpha", 1.0),
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "Clip": _clip,
    "Min": _many("min"),
    "Max": _many("max"),
    "Sum": _many("add"),
    "Mod": _same("mod"),
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Reshape": _reshape,
    "Flatten": lambda t, node: t.add("flatten", node, axis=int(node.get("axis", 1))),
    "Transpose": lambda t, node: t.add("transpose", node, axes=node.get("perm")),
    "Squeeze": _axes("squeeze"),
    "Unsqueeze": _axes("unsqueeze"),
    "Tile": _same("tile"),
    "Pad": _pad,
    "Shape": _shape,
    "Cast": _cast,
    "ConstantOfShape": _full,
    "Resize": _resize,
    "Upsample": _resize,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _depth_to_space,
    "AveragePool": _pool("average"),
    "MaxPool": _pool("max"),
    "Einsum": lambda t, node: t.add("einsum", node, equation=node.get("equation")),
    "GridSample": _grid_sample,
    "LpNormalization": lambda t, node: t.add(
        "normalize", node, axis=int(node.get("axis", -1)), p=int(node.get("p", 2))
    ),
}
"""Rules by ONNX operator."""
