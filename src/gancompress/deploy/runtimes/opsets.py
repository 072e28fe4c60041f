"""Older opsets of ONNX: the graph that the exporter writes for opset 18, in the operators of 11 to 17.

Source: https://github.com/onnx/onnx/blob/main/docs/Changelog.md
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from gancompress.deploy.runtimes.packages import optional

OLDEST = 11
"""Oldest opset that is written: the first one whose Resize and Pad say what PyTorch does."""

OLDEST_EXPORTED = 18
"""Oldest opset that the exporter writes itself."""

_REDUCTIONS_18 = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum")
_REDUCTIONS_18 += ("ReduceLogSumExp", "ReduceSumSquare")
_INPUT_TO_ATTRIBUTE = {
    **dict.fromkeys(_REDUCTIONS_18, ("axes", 18)),
    "ReduceSum": ("axes", 13),
    "Squeeze": ("axes", 13),
    "Unsqueeze": ("axes", 13),
    "Split": ("split", 13),
}
"""Attribute that became the second input of an operator, and the opset in which it did."""

_NEW_ATTRIBUTES = {
    ("Resize", "antialias"): (18, 0),
    ("Resize", "keep_aspect_ratio_policy"): (18, b"stretch"),
    ("Split", "num_outputs"): (18, None),
    ("Reshape", "allowzero"): (14, None),
    **{(kind, "noop_with_empty_axes"): (18, 0) for kind in _REDUCTIONS_18},
    ("ReduceSum", "noop_with_empty_axes"): (13, 0),
    ("BatchNormalization", "training_mode"): (14, 0),
}
"""Opset in which an attribute appeared, and the value that older ones imply; None for any."""


def lowered(model: Any, opset: int, without_values: Collection[str] = ()) -> Any:
    """Return a model of opset 18 as one of an older opset.

    Args:
        model: A `ModelProto`; changed in place.
        opset: 11 to 17.
        without_values: Initializers whose values are not in the model; weights, and not sizes or axes.

    Raises:
        ValueError: That opset lacks an operator, or a form of one.
    """
    onnx = optional("onnx", "onnx", "ONNX export")
    graph = model.graph
    given = [each for each in graph.initializer if each.name not in without_values]
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in given}
    for node in graph.node:
        if node.op_type == "Constant":
            constants |= {node.output[0]: _value(onnx, node)}
    nodes = [new for node in graph.node for new in _lowered(onnx, node, opset, constants)]
    del graph.node[:]
    graph.node.extend(nodes)
    _remove_unread(graph)
    for each in model.opset_import:
        if each.domain == "":
            each.version = opset
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import))
    return model


def _lowered(onnx: Any, node: Any, opset: int, constants: dict[str, np.ndarray]) -> list[Any]:
    """Return the nodes that do in an older opset what a node does."""
    kind, where = node.op_type, f"opset {opset}"
    try:
        onnx.defs.get_schema(kind, opset, node.domain)
    except onnx.defs.SchemaError:
        raise ValueError(f"{where} has no operator {kind}; take a newer one") from None
    attribute, since = _INPUT_TO_ATTRIBUTE.get(kind, ("", 0))
    if opset < since and len(node.input) > 1 and node.input[1]:
        if node.input[1] not in constants:
            raise ValueError(f"{where} has {kind} only with {attribute} that are constant")
        values = [int(each) for each in constants[node.input[1]].reshape(-1)]
        del node.input[1:]
        node.attribute.append(onnx.helper.make_attribute(attribute, values))
    for name in [each.name for each in node.attribute]:
        since, implied = _NEW_ATTRIBUTES.get((kind, name), (0, None))
        if opset < since:
            _drop_attribute(onnx, node, name, implied, where)
    check = _CHECKS.get(kind)
    if check is not None:
        return check(onnx, node, opset)
    return [node]


def _drop_attribute(onnx: Any, node: Any, name: str, implied: Any, where: str) -> None:
    found = next(each for each in node.attribute if each.name == name)
    if implied is not None and onnx.helper.get_attribute_value(found) != implied:
        raise ValueError(f"{where} has {node.op_type} only without {name}")
    node.attribute.remove(found)


def _shape(onnx: Any, node: Any, opset: int) -> list[Any]:
    """Return Shape without its start and end, which opset 15 introduced, and a Slice behind it."""
    limits = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if opset >= 15 or not limits:
        return [node]
    del node.attribute[:]
    output, whole = node.output[0], f"{node.output[0]}_whole"
    node.output[0] = whole
    ends = np.array([limits.get("end", np.iinfo(np.int64).max)], np.int64)
    starts = np.array([limits.get("start", 0)], np.int64)
    constants = [_constant_node(onnx, f"{output}_starts", starts), _constant_node(onnx, f"{output}_ends", ends)]
    return [node, *constants, onnx.helper.make_node("Slice", [whole, f"{output}_starts", f"{output}_ends"], [output])]


def _softmax(onnx: Any, node: Any, opset: int) -> list[Any]:
    """Check that a Softmax is over the last axis: older ones flatten all axes from theirs on."""
    axis = next((onnx.helper.get_attribute_value(each) for each in node.attribute if each.name == "axis"), -1)
    if opset < 13 and axis != -1:
        raise ValueError(f"opset {opset} has {node.op_type} only over the last axis, and this one is over axis {axis}")
    if opset < 13 and not node.attribute:
        node.attribute.append(onnx.helper.make_attribute("axis", -1))
    return [node]


def _grid(onnx: Any, node: Any, opset: int) -> list[Any]:
    """Check that integers with a scale for each channel, which opset 13 introduced, are not rounded before it."""
    if opset < 13 and any(each.name == "axis" for each in node.attribute):
        raise ValueError(f"opset {opset} has no scale for each channel in {node.op_type}; integers need opset 13")
    return [node]


def _pad(onnx: Any, node: Any, opset: int) -> list[Any]:
    if opset < 18 and len(node.input) > 3 and node.input[3]:
        raise ValueError(f"opset {opset} has Pad only of all axes")
    return [node]


def _resize(onnx: Any, node: Any, opset: int) -> list[Any]:
    """Return Resize with tensors of no values for inputs that are left out, which opset 13 allows first."""
    empty = [place for place, name in enumerate(node.input) if not name]
    if opset >= 13 or not empty:
        return [node]
    name = f"{node.output[0]}_unused"
    for place in empty:
        node.input[place] = name
    return [_constant_node(onnx, name, np.zeros(0, np.float32)), node]


def _constant(onnx: Any, node: Any, opset: int) -> list[Any]:
    """Return a Constant with a tensor, because opset 12 introduced the other kinds."""
    if opset >= 12:
        return [node]
    return [_constant_node(onnx, node.output[0], _value(onnx, node))]


def _constant_node(onnx: Any, name: str, values: np.ndarray) -> Any:
    return onnx.helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(values))


_CHECKS: dict[str, Callable[[Any, Any, int], list[Any]]] = {
    "Shape": _shape,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "QuantizeLinear": _grid,
    "DequantizeLinear": _grid,
    "Pad": _pad,
    "Resize": _resize,
    "Constant": _constant,
}


def _value(onnx: Any, node: Any) -> np.ndarray:
    (attribute,) = node.attribute
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value, np.float32 if "float" in attribute.name else np.int64)


def _remove_unread(graph: Any) -> None:
    """Remove initializers and constants that only the moved attributes read."""
    read = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
    for each in [each for each in graph.initializer if each.name not in read]:
        graph.initializer.remove(each)
    for each in [each for each in graph.node if each.op_type == "Constant" and each.output[0] not in read]:
        graph.node.remove(each)
