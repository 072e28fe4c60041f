"""Removal of double rounding: values that the next layer rounds anyway, and operands of sums."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gancompress.quantization.calibration import Batch, as_inputs
from gancompress.quantization.flow import Value, values_of
from gancompress.quantization.layers import QuantizedLayer


def round_once(network: nn.Module, inputs: Batch) -> nn.Module:
    """Round each value once, by the layer that takes it, in place; for runtimes that compute in integers.

    * The output of a layer is not rounded if the next layer rounds it: only ReLU and reshaping lie between them, and
      only that layer takes the result. Before a ReLU it would need a range of both signs, while the next layer's range
      has positive values only; onnxruntime computes a convolution and the ReLU behind it in integers at once if nothing
      is rounded between them.
    * A value that a layer takes and a sum adds, as in a residual block, is rounded for both, if all operands of the sum
      can be rounded and a layer rounds the sum. onnxruntime then adds in integers.

    Args:
        network: A quantized network whose ranges are known, and whose outputs are rounded where the runtime needs it.
        inputs: An input, to trace the flow of values.
    """
    values = values_of(network, as_inputs(inputs))
    calls = Counter(id(value.module) for value in values if value.module is not None)
    whole = {id(value) for value in values if _adds_integers(value, calls)}
    for value in values:
        rounds_for_sum = value.layer is None and any(id(total) in whole for total in value.sums)
        if rounds_for_sum and value.module is not None:
            value.module.register_forward_hook(_RoundedAsTaken(value.takers[0]))
    once: dict[int, list[bool]] = {}
    for value in values:
        if value.layer is not None:
            once.setdefault(id(value.layer), []).append(_is_rounded_again(value, whole))
    for value in values:
        if value.layer is not None and all(once[id(value.layer)]):
            value.layer.register_module("output_quantizer", None)
    return network


def _adds_integers(total: Value, calls: Counter[int]) -> bool:
    """Return True if a layer rounds the sum that it takes, and all operands of the sum are or can be rounded."""

    def has_grid(part: Value | None) -> bool:
        if part is None or part.sliced:
            return False
        if part.layer is not None:
            return part.layer.output_quantizer is not None
        return bool(part.takers) and part.module is not None and calls[id(part.module)] == 1

    return bool(total.parts) and bool(total.takers) and not total.sliced and all(map(has_grid, total.parts))


def _is_rounded_again(value: Value, whole: set[int]) -> bool:
    """Return True if exactly one layer takes the value, with a range for it, and nothing else uses it."""
    ends = [value, *value.cuts]
    added = any(id(total) not in whole for cut in value.cuts for total in cut.sums)
    if value.sums or added or any(end.seen for end in ends) or any(cut.cuts for cut in value.cuts):
        return False
    return sum(len(end.takers) for end in ends) == 1


@dataclass
class _RoundedAsTaken:
    """Forward hook that rounds a module's output like a layer that takes it."""

    layer: QuantizedLayer

    def __call__(self, module: nn.Module, args: Any, result: Tensor) -> Tensor:
        layer: Any = self.layer
        if isinstance(layer, QuantizedLayer) and layer.mode == "quantize" and layer.input_quantizer is not None:
            return layer.input_quantizer(result)
        return result
