"""Reordering of rounding and moving operators in a file, so that convolutions compute in integers.

A runtime computes a convolution in integers if DequantizeLinear is directly before it and QuantizeLinear directly
after it. Padding, slices and shuffles between them would keep it, and themselves, in float. Each commutes with
rounding: QuantizeLinear moves before them and DequantizeLinear after them, and the outputs stay exactly the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from gancompress.deploy.runtimes.packages import optional

_MOVING = ("Pad", "Slice", "Transpose", "Reshape", "DepthToSpace", "SpaceToDepth", "Squeeze", "Unsqueeze", "Concat")


def move_integers(model: Any) -> None:
    """Let operators that only move values move integers, in place.

    Args:
        model: An `onnx_ir.Model` with QuantizeLinear and DequantizeLinear.
    """
    for node in list(model.graph):
        if node.op_type in _MOVING:
            _dequantize_behind(model.graph, node)
    for node in reversed(list(model.graph)):
        if node.op_type in _MOVING:
            _quantize_before(model.graph, node)
        elif node.op_type == "Relu":
            _cut_by_rounding(model.graph, node)
    for node in list(model.graph):
        if node.op_type == "QuantizeLinear":
            _round_once(model.graph, node)


def _dequantize_behind(graph: Any, node: Any) -> None:
    """Rewrite values -> DequantizeLinear -> node as values -> node -> DequantizeLinear."""
    sources = [value.producer() for value in _moved(node)]
    if any(each is None or each.op_type != "DequantizeLinear" or len(each.inputs) < 3 for each in sources):
        return  # weights have no zero point
    if len({_grid(each) for each in sources}) != 1 or node.outputs[0].is_graph_output():
        return
    scale, zero_point = sources[0].inputs[1:]
    if not _pads_with(node, zero_point):
        return
    for index, source in enumerate(sources):
        node.replace_input_with(index, source.inputs[0])
        if not source.outputs[0].uses() and not source.outputs[0].is_graph_output():
            graph.remove(source, safe=True)
    moved = node.outputs[0]
    floats, moved.dtype = moved.dtype, node.inputs[0].dtype
    later = list(moved.uses())
    behind = _node("DequantizeLinear", [moved, scale, zero_point], floats, moved.shape)
    graph.insert_after(node, behind)
    for user, index in later:
        user.replace_input_with(index, behind.outputs[0])


def _quantize_before(graph: Any, node: Any) -> None:
    """Rewrite values -> node -> QuantizeLinear as values -> QuantizeLinear -> node."""
    roundings = [user for user, _ in node.outputs[0].uses()]
    if (
        not roundings
        or any(user.op_type != "QuantizeLinear" for user in roundings)
        or node.outputs[0].is_graph_output()
    ):
        return
    if len({_grid(each) for each in roundings}) != 1:
        return
    rounding, *alike = roundings
    scale, zero_point = rounding.inputs[1:]
    if not _pads_with(node, zero_point):
        return
    for other in alike:  # those of parallel slices
        _bypass(graph, other, rounding.outputs[0])
    integers = rounding.outputs[0].dtype
    for index, value in enumerate(_moved(node)):
        before = _node("QuantizeLinear", [value, scale, zero_point], integers, value.shape)
        graph.insert_before(node, before)
        node.replace_input_with(index, before.outputs[0])
    node.outputs[0].dtype = integers
    for user, index in list(rounding.outputs[0].uses()):
        user.replace_input_with(index, node.outputs[0])
    graph.remove(rounding, safe=True)


def _cut_by_rounding(graph: Any, node: Any) -> None:
    """Remove a Relu before QuantizeLinear if the range of the latter begins at 0, because it clips there.

    The output of Concat is rounded after it, once, not in each of its parts.
    """
    source = node.inputs[0].producer()
    if source is not None and source.op_type == "Concat":
        return
    users = [user for user, _ in node.outputs[0].uses()]
    cut = all(user.op_type == "QuantizeLinear" and _starts_at_zero(user) for user in users)
    if cut and not node.outputs[0].is_graph_output():
        _bypass(graph, node, node.inputs[0])


def _round_once(graph: Any, node: Any) -> None:
    """Remove a DequantizeLinear and a QuantizeLinear of the same grid that follow one another."""
    before = node.inputs[0].producer()
    if before is None or before.op_type != "DequantizeLinear" or _grid(before) != _grid(node):
        return
    _bypass(graph, node, before.inputs[0])
    if not before.outputs[0].uses() and not before.outputs[0].is_graph_output():
        graph.remove(before, safe=True)


def _starts_at_zero(rounding: Any) -> bool:
    """Return whether the range of QuantizeLinear, whose integers are unsigned here, holds no negative values."""
    zero_point = rounding.inputs[2].const_value
    return zero_point is not None and not zero_point.numpy().any()


def _moved(node: Any) -> Sequence[Any]:
    """Return the values that an operator moves, without the inputs that parametrise it."""
    return node.inputs if node.op_type == "Concat" else node.inputs[:1]


def _grid(node: Any) -> tuple[str, ...]:
    return tuple(value.name for value in node.inputs[1:])


def _pads_with(node: Any, zero: Any) -> bool:
    """Return whether an operator adds no values but zeros; a Pad is then set to pad with the integer of 0."""
    if node.op_type != "Pad":
        return True
    mode = node.attributes.get("mode")
    if mode is not None and mode.as_string() != "constant":
        return True
    filled = node.inputs[2] if len(node.inputs) > 2 else None
    if filled is not None and (filled.const_value is None or filled.const_value.numpy().item() != 0):
        return False
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, zero)
    return True


def _node(operator: str, inputs: Sequence[Any], dtype: Any, shape: Any) -> Any:
    import onnx_ir

    node = onnx_ir.node(operator, inputs)
    node.outputs[0].dtype, node.outputs[0].shape = dtype, shape
    return node


def kinds_of_layers(path: Path) -> list[tuple[str, ...]]:
    """Group the layers of a file of integers by equal operator, weight shape and attributes, which take equal time.

    Args:
        path: A file that `gancompress.deploy.quantized.export_quantized` wrote for onnxruntime.
    """
    kinds: dict[str, list[str]] = {}
    for node in _load(path).graph:
        layer = _layer_of(node.inputs[1]) if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") else None
        if layer is not None:
            alike = f"{node.op_type} {node.inputs[1].shape} {sorted(map(str, node.attributes.values()))}"
            kinds.setdefault(alike, []).append(layer)
    return [tuple(layers) for layers in kinds.values()]


def without_rounding(path: Path, layers: Collection[str], to: Path) -> None:
    """Write a file of integers again with some layers in float: rounded weights, and unrounded activations.

    Args:
        path: A file that `gancompress.deploy.quantized.export_quantized` wrote for onnxruntime.
        layers: Paths of these layers.
        to: The file to write, for timing only, because its weights are still rounded ones.
    """
    import onnx_ir

    model = _load(path)
    for node in list(model.graph):
        if node.op_type == "DequantizeLinear" and _layer_of(node.outputs[0]) in layers:
            integers, scale = node.inputs[0].const_value.numpy(), node.inputs[1].const_value.numpy()
            axis = node.attributes.get_int("axis", 1)
            shape = [-1 if scale.ndim and i == axis else 1 for i in range(integers.ndim)]
            weight = onnx_ir.tensor((integers * scale.reshape(shape)).astype(scale.dtype), name=f"{node.name}.float")
            constant = onnx_ir.Value(name=weight.name, shape=node.outputs[0].shape, const_value=weight)
            constant.dtype = weight.dtype
            model.graph.register_initializer(constant)
            _bypass(model.graph, node, constant)
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear") and _layer_in(node.inputs[1].name) in layers:
            cut = node.inputs[0]
            if node.op_type == "QuantizeLinear" and _starts_at_zero(node):
                again = _node("Relu", [cut], cut.dtype, cut.shape)  # undoes `move_integers`, or does nothing
                model.graph.insert_before(node, again)
                cut = again.outputs[0]
            _bypass(model.graph, node, cut)
    for node in model.graph:
        if node.op_type in _MOVING:
            values, *_ = node.inputs
            if node.op_type == "Pad" and len(node.inputs) > 2 and node.inputs[2].dtype != values.dtype:
                node.replace_input_with(2, None)  # zeros again
            node.outputs[0].dtype = values.dtype
    onnx_ir.save(model, to)


def _bypass(graph: Any, node: Any, value: Any) -> None:
    import onnx_ir

    (gone,) = node.outputs
    name = gone.name if gone.is_graph_output() else value.name
    onnx_ir.convenience.replace_all_uses_with(gone, value, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    value.name = name


def _load(path: Path) -> Any:
    return optional("onnx_ir", "onnx", f"{path}: reading it").load(path)


def _layer_of(weight: Any) -> str | None:
    """Return the path of the layer that a weight belongs to; None if the value is no stored weight."""
    producer = weight.producer()
    if producer is None or producer.op_type != "DequantizeLinear":
        return None
    name, _, rest = (producer.inputs[0].name or "").partition(".weight_quantizer.")
    return name if rest == "integers" else None


def _layer_in(name: str) -> str:
    """Return the path of the layer that a scale of activations belongs to."""
    return name.partition(".input_quantizer.")[0].partition(".output_quantizer.")[0]
