"""ONNX files, written and checked without a copy of all weights in memory.

Source: https://protobuf.dev/programming-guides/encoding/ and https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gancompress.deploy.runtimes.packages import optional
from gancompress.errors import ExportError

MOST_BYTES = 2**31 - 1
"""Most bytes of a file that protobuf reads."""

_SMALL_BYTES = 1024  # smaller tensors may be sizes or axes, which checks and older opsets need
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # numbers of the fields of ModelProto, GraphProto and TensorProto


def without_weights(model: Any) -> tuple[Any, dict[str, Any]]:
    """Return a model as protobuf whose large tensors have no values, and these tensors by name.

    Args:
        model: An `onnx_ir.Model`; not changed.
    """
    import onnx_ir

    weights = {
        name: value.const_value
        for name, value in model.graph.initializers.items()
        if value.const_value is not None and value.const_value.nbytes > _SMALL_BYTES
    }
    try:
        for name, tensor in weights.items():
            of_file = onnx_ir.ExternalTensor("", 0, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=name)
            model.graph.initializers[name].const_value = of_file
        proto = onnx_ir.to_proto(model)
    finally:
        for name, tensor in weights.items():
            model.graph.initializers[name].const_value = tensor
    for each in proto.graph.initializer:
        if each.name in weights:
            each.ClearField("external_data")
            each.ClearField("data_location")
    return proto, weights


def check_onnx(proto: Any, weights: Mapping[str, Any]) -> None:
    """Check a model, with its weights as inputs, whose values no check reads. Raises the error of the package onnx."""
    onnx = optional("onnx", "onnx", "ONNX export")
    checked = onnx.ModelProto()
    checked.CopyFrom(proto)
    graph = checked.graph
    for each in [each for each in graph.initializer if each.name in weights]:
        graph.input.append(onnx.helper.make_tensor_value_info(each.name, each.data_type, list(each.dims)))
        graph.initializer.remove(each)
    for each in [each for each in graph.value_info if each.name in weights]:
        graph.value_info.remove(each)
    onnx.checker.check_model(checked, full_check=True)


def write_onnx(proto: Any, weights: Mapping[str, Any], path: Path) -> None:
    """Write a model as one file, a tensor after the other.

    Args:
        proto: The model from `without_weights`; emptied.
        weights: Its large tensors.
        path: The file.

    Raises:
        ExportError: It is larger than an ONNX file can be.
    """
    tensors = [(each.SerializeToString(), weights.get(each.name)) for each in proto.graph.initializer]
    heads = [(head, tensor, 0 if tensor is None else tensor.nbytes) for head, tensor in tensors]
    heads = [(head + (_field(_RAW_DATA, size) if size else b""), tensor, size) for head, tensor, size in heads]
    parts = [(_field(_INITIALIZER, len(head) + size) + head, tensor, size) for head, tensor, size in heads]
    del proto.graph.initializer[:]
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    start = proto.SerializeToString()
    num_graph_bytes = len(graph) + sum(len(head) + size for head, _, size in parts)
    start += _field(_GRAPH, num_graph_bytes) + graph
    if len(start) - len(graph) + num_graph_bytes > MOST_BYTES:
        raise ExportError(
            f"ONNX export: got {num_graph_bytes:,} bytes, expected at most {MOST_BYTES:,} in one ONNX file; narrow the "
            "network first, or take another format"
        )
    with path.open("wb") as file:
        file.write(start)
        for head, tensor, _ in parts:
            file.write(head)
            if tensor is not None:
                file.write(tensor.tobytes())


def _field(number: int, size: int) -> bytes:
    """Return the beginning of a field of this many bytes."""
    encoded, rest = bytearray([number << 3 | 2]), size
    while rest > 127:
        encoded.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*encoded, rest])
