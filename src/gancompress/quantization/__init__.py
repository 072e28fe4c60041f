"""Quantization: weights and activations rounded to a few bits, while training, after it, and in the exported file."""

from gancompress.quantization.attach import (
    carry_quantization,
    quantizable_layers,
    quantize,
    quantize_outputs,
    quantized_layers,
    remove_quantization,
)
from gancompress.quantization.calibration import calibrate, centre_ranges
from gancompress.quantization.grid import Grid, affine_grid, fake_quantize, integers, symmetric_grid
from gancompress.quantization.layers import QuantizedLayer
from gancompress.quantization.once import round_once
from gancompress.quantization.options import FLOAT, QuantizationOptions, check_layers_stay
from gancompress.quantization.quantization import Quantization, ranges_of
from gancompress.quantization.sensitivity import (
    Distance,
    DistanceSums,
    MixedPrecision,
    Sensitivity,
    by_time,
    distance_between,
    distance_to_float,
    mixed_precision,
    sensitivities,
)
from gancompress.quantization.size import QuantizedSize, weight_bytes

__all__ = [
    "FLOAT",
    "Distance",
    "DistanceSums",
    "Grid",
    "MixedPrecision",
    "Quantization",
    "QuantizationOptions",
    "QuantizedLayer",
    "QuantizedSize",
    "Sensitivity",
    "affine_grid",
    "by_time",
    "calibrate",
    "carry_quantization",
    "centre_ranges",
    "check_layers_stay",
    "distance_between",
    "distance_to_float",
    "fake_quantize",
    "integers",
    "mixed_precision",
    "quantizable_layers",
    "quantize",
    "quantize_outputs",
    "quantized_layers",
    "ranges_of",
    "remove_quantization",
    "round_once",
    "sensitivities",
    "symmetric_grid",
    "weight_bytes",
]
