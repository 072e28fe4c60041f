"""Values that need one rounding and have two, or none: what the next layer rounds anyway, and what a sum adds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gancompress.quantization.calibration import Batch, as_inputs
from gancompress.quantization.flow import Value, values_of
from gancompress.quantization.layers import QuantizedLayer


def round_once(network: nn.Module, inputs: Batch) -> nn.Module:
    """Round each value once, as the layer that takes it does, in place; for runtimes that compute in integers.

    * What a layer returns is not rounded where the next layer rounds it: where all that comes between is ReLU and what
      moves values, and one layer alone takes the result. Before a ReLU it would need a range of both signs, the next
      layer's range is of the positive ones only, and onnxruntime computes a convolution and the ReLU behind it in
      integers at once where nothing is rounded between them.
    * What a layer takes and a sum adds, as in a residual block, is rounded for both, if all that the sum adds can be
      rounded and a layer rounds the sum. onnxruntime adds in integers then.

    Args:
        network: A quantized network whose ranges are known, and whose outputs are rounded where the runtime wants it.
        inputs: An input, to see what goes where.
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
    """Whether a sum is rounded by the layer that takes it, and all that it adds is rounded, or can be."""

    def has_grid(part: Value | None) -> bool:
        if part is None or part.sliced:
            return False
        if part.layer is not None:
            return part.layer.output_quantizer is not None
        return bool(part.takers) and part.module is not None and calls[id(part.module)] == 1

    return bool(total.parts) and bool(total.takers) and not total.sliced and all(map(has_grid, total.parts))


def _is_rounded_again(value: Value, whole: set[int]) -> bool:
    """Whether one layer alone takes what a layer returned, with a range for it, and nothing else sees it."""
    ends = [value, *value.cuts]
    added = any(id(total) not in whole for cut in value.cuts for total in cut.sums)
    if value.sums or added or any(end.seen for end in ends) or any(cut.cuts for cut in value.cuts):
        return False
    return sum(len(end.takers) for end in ends) == 1


@dataclass
class _RoundedAsTaken:
    """A forward hook: rounds what a module returns as a layer does that takes it."""

    layer: QuantizedLayer

    def __call__(self, module: nn.Module, args: Any, result: Tensor) -> Tensor:
        layer: Any = self.layer
        if isinstance(layer, QuantizedLayer) and layer.mode == "quantize" and layer.input_quantizer is not None:
            return layer.input_quantizer(result)
        return result
