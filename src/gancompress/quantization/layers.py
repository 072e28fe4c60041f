"""Quantized layers: float layers with the same parameters whose forward pass rounds inputs, weights and outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from gancompress.quantization.grid import Grid, fake_quantize, symmetric_grid
from gancompress.quantization.ranges import ActivationQuantizer

Mode = Literal["quantize", "observe", "float"]


class WeightQuantizer(nn.Module):
    """Weight quantizer; derives the grid from the weight in each forward pass, so it has no state to store or narrow.

    Attributes:
        bits: Bits of a weight.
        axis: The axis of the output channels, each with its own scale; None for one scale.
    """

    def __init__(self, bits: int, axis: int | None) -> None:
        super().__init__()
        self.bits, self.axis = bits, axis

    def grid(self, weight: Tensor) -> Grid:
        """Return the grid of a weight."""
        return symmetric_grid(weight, self.bits, self.axis)

    def forward(self, weight: Tensor) -> Tensor:
        """Round a weight; the gradient passes unchanged."""
        return fake_quantize(weight, self.grid(weight))


class QuantizedLayer(nn.Module):
    """Base class of quantized layers. A float layer becomes one by a change of its class, see `attach`.

    Attributes:
        weight_quantizer: Rounds the weight.
        input_quantizer: Rounds the input, after padding with a mode other than zeros; None leaves it float.
        output_quantizer: Rounds the output; None leaves it float.
        mode: ``quantize``; ``observe``: compute in float and let the quantizers of activations observe their inputs;
            ``float``: compute as the float layer.
    """

    weight: Tensor
    bias: Tensor | None
    weight_quantizer: WeightQuantizer
    input_quantizer: ActivationQuantizer | None
    output_quantizer: ActivationQuantizer | None
    mode: Mode

    def _rounded(self, compute: Callable[[Tensor, Tensor], Tensor], values: Tensor) -> Tensor:
        weight = self.weight_quantizer(self.weight) if self.mode == "quantize" else self.weight
        result = compute(self._activations(self.input_quantizer, values), weight)
        return self._activations(self.output_quantizer, result)

    def _activations(self, quantizer: ActivationQuantizer | None, values: Tensor) -> Tensor:
        if quantizer is None or self.mode == "float":
            return values
        if self.mode == "observe":
            quantizer.observe(values)
            return values
        return quantizer(values)


class _QuantizedConv(QuantizedLayer):
    _convolve: Callable[..., Tensor]

    def forward(self: Any, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0

        def compute(values: Tensor, weight: Tensor) -> Tensor:
            return self._convolve(values, weight, self.bias, self.stride, padding, self.dilation, self.groups)

        return self._rounded(compute, input)


class _QuantizedConvTranspose(QuantizedLayer):
    _convolve: Callable[..., Tensor]

    def forward(self: Any, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        extra = self._output_padding(
            input, output_size, self.stride, self.padding, self.kernel_size, len(self.kernel_size), self.dilation
        )

        def compute(values: Tensor, weight: Tensor) -> Tensor:
            return self._convolve(
                values, weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
            )

        return self._rounded(compute, input)


class QuantizedConv1d(_QuantizedConv, nn.Conv1d):
    """A quantized `torch.nn.Conv1d`."""

    _convolve = staticmethod(F.conv1d)


class QuantizedConv2d(_QuantizedConv, nn.Conv2d):
    """A quantized `torch.nn.Conv2d`."""

    _convolve = staticmethod(F.conv2d)


class QuantizedConvTranspose1d(_QuantizedConvTranspose, nn.ConvTranspose1d):
    """A quantized `torch.nn.ConvTranspose1d`."""

    _convolve = staticmethod(F.conv_transpose1d)


class QuantizedConvTranspose2d(_QuantizedConvTranspose, nn.ConvTranspose2d):
    """A quantized `torch.nn.ConvTranspose2d`."""

    _convolve = staticmethod(F.conv_transpose2d)


class QuantizedLinear(QuantizedLayer, nn.Linear):
    """A quantized `torch.nn.Linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Map [..., in_features] to [..., out_features]."""
        return self._rounded(lambda values, weight: F.linear(values, weight, self.bias), input)


QUANTIZED_CLASS: dict[type[nn.Module], type[QuantizedLayer]] = {
    nn.Conv1d: QuantizedConv1d,
    nn.Conv2d: QuantizedConv2d,
    nn.ConvTranspose1d: QuantizedConvTranspose1d,
    nn.ConvTranspose2d: QuantizedConvTranspose2d,
    nn.Linear: QuantizedLinear,
}
"""The quantized class of every layer that can be quantized. Subclasses may compute something else and stay float."""


def output_axis(layer: nn.Module) -> int:
    """Return the axis of a layer's weight that has its output channels.

    A grouped transposed convolution has the channels of one group there, and all groups share their scales; one with
    a single input channel in each group has a scale for each group instead.
    """
    transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)
    return 1 if transposed and layer.groups < layer.in_channels else 0
