"""Small numbers that a network adds, such as the epsilon of a norm: kept from the exporter's optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np

_AS_ZERO = 1e-6
"""Size of a number, far above the 1e-8 below which onnxscript 0.7 takes it for 0 and removes the sum."""


def keep_small_terms(model: Any) -> None:
    """Give small numbers of sums one axis, because onnxscript's optimizer removes only scalars that it takes for 0.

    A sum of scalars is left alone: an axis would change its shape.

    Args:
        model: An `onnx_ir.Model` before it is optimized; changed in place.
    """
    import onnx_ir

    for node in [each for each in model.graph.all_nodes() if each.op_type in ("Add", "Sub")]:
        for place, value in enumerate(node.inputs):
            constant = onnx_ir.convenience.get_const_tensor(value)
            other = node.inputs[1 - place]
            if constant is None or constant.shape.rank() or not other.shape or not other.shape.rank():
                continue
            number = constant.numpy()
            if number.dtype.kind == "f" and 0 < abs(number) < _AS_ZERO:
                name = f"{node.outputs[0].name}_term"
                kept = onnx_ir.Value(
                    name=name,
                    shape=onnx_ir.Shape([1]),
                    type=onnx_ir.TensorType(constant.dtype),
                    const_value=onnx_ir.tensor(np.reshape(number, 1), name=name),
                )
                node.graph.register_initializer(kept)
                node.replace_input_with(place, kept)
