"""Export of a quantized network as a file with integer weights (QuantizeLinear and DequantizeLinear, "QDQ")."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx.ops import symbolic

from gancompress.channels.skeleton import copy_module
from gancompress.deploy.axes import Inputs
from gancompress.deploy.file_options import DEFAULT_OPTIONS, FileOptions
from gancompress.deploy.module import export_module
from gancompress.deploy.parity import ExportReport
from gancompress.errors import ExportError
from gancompress.networks.outputs import tensors_of
from gancompress.quantization import (
    Distance,
    Grid,
    QuantizedLayer,
    distance_to_float,
    fake_quantize,
    integers,
    quantizable_layers,
    quantized_layers,
)

IMAGE_STEP = 2 / 255
"""The step of an 8-bit image in [-1, 1]."""

_SLACK_STEPS = 0.05


@dataclass(frozen=True)
class QuantizedReport:
    """Exported file of a quantized network, with its differences from that network and from the float network.

    Attributes:
        file: The file, and its runtime's differences from the quantized network in eager.
        from_float: Distance of the quantized network from the float network, on the example.
        stored_bits: Bits that a weight of each layer takes in the file, by path; 32 for layers that stayed float.
    """

    file: ExportReport
    from_float: Distance
    stored_bits: Mapping[str, int]


def export_quantized(
    network: nn.Module,
    example_inputs: Inputs,
    path: str | os.PathLike[str],
    format: str = "onnx",
    options: FileOptions = DEFAULT_OPTIONS,
    tolerance_steps: float = math.inf,
) -> QuantizedReport:
    """Write a quantized network as one file with integer weights, after its runtime on the CPU agrees with it.

    Weights of 2 to 8 bits are stored as 8-bit integers, wider ones as 16-bit integers. Activations of up to 8 bits are
    rounded by QuantizeLinear; on finer grids, for which no runtime has integer arithmetic, by float arithmetic.

    Two correct programs differ: if a value lies halfway between two integers, the last bit of a sum decides, and in
    a network with instance norms such decisions spread until the two images are as far apart as two independent
    roundings of the float network. So the limit of the mean difference on the example is the square root of two times
    the mean distance of the quantized network from the float one, plus a twentieth of a step.

    Args:
        network: A quantized network with known ranges that returns an image, first of several outputs; not changed.
        example_inputs: See `export_module`; values within the calibrated ranges.
        path: The file to write. It is replaced atomically after every comparison has passed.
        format: A format that computes QuantizeLinear and DequantizeLinear.
        options: Free axes, names and metadata. Its tolerances do not count.
        tolerance_steps: The largest difference allowed for any value in any case, in steps of an 8-bit image in
            [-1, 1]; by default only the mean is limited.

    Raises:
        ExportError: The network is not quantized, the file is further from it than rounding explains, or see
            `export_module`.
        ConfigError: A range is not known yet.
    """
    layers = quantized_layers(network)
    if not layers:
        raise ExportError(f"quantized export: got a float {type(network).__name__}; quantize it, or use export_module")
    from_float = distance_to_float(network, [example_inputs])
    of_all = distance_to_float(network, [example_inputs], tensors_of)
    allowed = math.sqrt(2) * of_all.l1 + _SLACK_STEPS * IMAGE_STEP
    options = replace(options, tolerance=tolerance_steps * IMAGE_STEP, mean_tolerance=allowed)
    file = export_module(with_stored_integers(network), example_inputs, path, format, options)
    stored_bits = {layer: _stored_bits(each.weight_quantizer.bits) for layer, each in layers.items()}
    float_bits = dict.fromkeys(quantizable_layers(network), 32)
    return QuantizedReport(file, from_float, {**stored_bits, **float_bits})


def with_stored_integers(network: nn.Module) -> nn.Module:
    """Copy a quantized network with stored integers instead of weights; the copy computes exactly the same.

    Raises:
        ConfigError: A range is not known yet.
    """
    network = copy_module(network).eval()
    for layer in quantized_layers(network).values():
        if layer.mode == "quantize":
            _store_integers(layer)
    return network


def _store_integers(layer: QuantizedLayer) -> None:
    layer.register_module(
        "weight_quantizer", _StoredWeight(layer.weight.detach(), layer.weight_quantizer.grid(layer.weight))
    )
    layer.register_parameter("weight", None)
    for name in ("input_quantizer", "output_quantizer"):
        quantizer = getattr(layer, name)
        if quantizer is not None:
            layer.register_module(name, _StoredGrid(quantizer.grid()))


def _stored_bits(bits: int) -> int:
    return 8 if bits <= 8 else 16


class _StoredWeight(nn.Module):
    """Weight stored as integers. In the file: an initializer and DequantizeLinear.

    The grid is symmetric, so the zero point is omitted: with a zero point as an input, even of zeros, OpenVINO does not
    recognise every layer as an integer one, and computes some in float.
    """

    integers: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, grid: Grid) -> None:
        super().__init__()
        self._axis = grid.axis
        self._shape = [-1 if axis == grid.axis else 1 for axis in range(weight.dim())]
        dtype = torch.int8 if grid.highest <= torch.iinfo(torch.int8).max else torch.int16
        self.register_buffer("integers", integers(fake_quantize(weight, grid), grid).to(dtype))
        self.register_buffer("scale", grid.scale)

    def forward(self, weight: None) -> Tensor:
        del weight
        if torch.compiler.is_exporting() and self.integers.dtype == torch.int8:
            inputs = (self.integers, self.scale)
            attributes: dict[str, Any] = {} if self._axis is None else {"axis": self._axis}
            return symbolic("DequantizeLinear", inputs, attributes, dtype=torch.float32, shape=self.integers.shape)
        scale = self.scale if self._axis is None else self.scale.reshape(self._shape)
        return self.integers.to(torch.float32) * scale


class _StoredGrid(nn.Module):
    """Quantizer of activations with a fixed grid. In the file: QuantizeLinear and DequantizeLinear."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self._highest = grid.highest
        self._fits = grid.highest <= torch.iinfo(torch.uint8).max
        self.register_buffer("scale", grid.scale)
        self.register_buffer("zero_point", grid.zero_point.to(torch.uint8) if self._fits else grid.zero_point)

    def forward(self, values: Tensor) -> Tensor:
        if not torch.compiler.is_exporting():
            return fake_quantize(values, Grid(self.scale, self.zero_point.to(torch.int32), 0, self._highest))
        if not self._fits:
            steps = (values / self.scale).round() + self.zero_point
            return (steps.clamp(0, self._highest) - self.zero_point) * self.scale
        if self._highest < torch.iinfo(torch.uint8).max:  # the operator clips at 255 only
            values = torch.minimum(values, (self._highest - self.zero_point.to(torch.float32)) * self.scale)
        parameters = (self.scale, self.zero_point)
        rounded = symbolic("QuantizeLinear", (values, *parameters), dtype=torch.uint8, shape=values.shape)
        return symbolic("DequantizeLinear", (rounded, *parameters), dtype=torch.float32, shape=values.shape)
