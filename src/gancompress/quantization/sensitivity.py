"""Sensitivity of the image to each layer's quantization, and the choice of the layers to spare."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import BudgetError, ConfigError, DataError
from gancompress.networks.outputs import image_of
from gancompress.quantization.attach import make_float, quantized_layers
from gancompress.quantization.calibration import Batch, as_inputs, in_mode
from gancompress.quantization.layers import QuantizedLayer
from gancompress.quantization.options import QuantizationOptions


@dataclass(frozen=True)
class Distance:
    """Distance between the quantized and the float output, over all values of all images.

    Attributes:
        l1: Mean absolute difference.
        psnr_db: Peak signal-to-noise ratio for images in [-1, 1]; infinite if there is no difference.
    """

    l1: float
    psnr_db: float


@dataclass(frozen=True)
class Sensitivity:
    """Distance that the quantization of one layer alone causes.

    Attributes:
        layer: Path of the layer.
        distance: The distance of the output when only this layer is quantized.
    """

    layer: str
    distance: Distance


@dataclass(frozen=True)
class MixedPrecision:
    """A choice of layers to spare from quantization.

    Attributes:
        options: Options of the network, with the spared layers among the exceptions.
        spared: Paths of the spared layers, in the order in which they were chosen.
        distance: Measured distance with these layers spared.
    """

    options: QuantizationOptions
    spared: tuple[str, ...]
    distance: Distance


Outputs = Callable[[Any], list[Tensor]]
"""Function from a network's result to the tensors that are compared."""


def _image(result: Any) -> list[Tensor]:
    return [image_of(result)]


def distance_to_float(network: nn.Module, batches: Iterable[Batch], outputs: Outputs = _image) -> Distance:
    """Return the distance between the network in its current modes and all float, in evaluation mode.

    Args:
        network: A quantized network.
        batches: Its inputs.
        outputs: Outputs that are compared; by default the image (`gancompress.networks.outputs.image_place`).

    Raises:
        DataError: There is no batch.
    """
    sums = DistanceSums()
    for inputs in map(as_inputs, batches):
        sums.add(_outputs(network, inputs, outputs), _float_outputs(network, inputs, outputs))
    return sums.distance()


def _float_outputs(network: nn.Module, inputs: tuple[Tensor, ...], outputs: Outputs = _image) -> list[Tensor]:
    with in_mode(network, "float"):
        return _outputs(network, inputs, outputs)


def _outputs(network: nn.Module, inputs: tuple[Tensor, ...], outputs: Outputs = _image) -> list[Tensor]:
    with evaluation_mode(network), torch.no_grad():
        return outputs(network(*inputs))


def distance_between(got: Sequence[Tensor], expected: Sequence[Tensor]) -> Distance:
    """Return the distance between two sets of images.

    Args:
        got: Batches of images in [-1, 1].
        expected: Batches of the same shapes.
    """
    sums = DistanceSums()
    sums.add(got, expected)
    return sums.distance()


class DistanceSums:
    """Sums of a distance, to which images are added a few at a time, so that no more of them are held in memory."""

    def __init__(self) -> None:
        """Start without images."""
        self._number, self._absolute, self._squared = 0, 0.0, 0.0

    def add(self, got: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
        """Add images; arguments as those of `distance_between`."""
        for some, others in zip(got, expected, strict=True):
            for a, b in zip(some, others, strict=True) if some.dim() else [(some, others)]:
                difference = (a - b).double()
                self._number += difference.numel()
                self._squared += float(difference.square().sum())
                self._absolute += float(difference.abs_().sum())

    def distance(self) -> Distance:
        """Return the distance of all images.

        Raises:
            DataError: There are none.
        """
        if not self._number:
            raise DataError("quantization: got no images to measure the distance on, expected at least one")
        psnr = 10 * math.log10(4 * self._number / self._squared) if self._squared else math.inf
        return Distance(self._absolute / self._number, psnr)


def sensitivities(network: nn.Module, batches: Sequence[Batch]) -> list[Sensitivity]:
    """Return the distance that each layer causes alone, largest first.

    Args:
        network: A quantized network with ranges; its state is restored.
        batches: Its inputs; a few images do.

    Raises:
        DataError: There is no batch.
    """
    given = [as_inputs(batch) for batch in batches]
    expected = [_float_outputs(network, inputs) for inputs in given]  # once, not for every layer
    result = []
    with in_mode(network, "float"):
        for path, layer in quantized_layers(network).items():
            layer.mode = "quantize"
            sums = DistanceSums()
            for inputs, images in zip(given, expected, strict=True):
                sums.add(_outputs(network, inputs), images)
            result.append(Sensitivity(path, sums.distance()))
            layer.mode = "float"
    return sorted(result, key=lambda each: -each.distance.l1)


def by_time(order: Iterable[Sensitivity], milliseconds: Mapping[str, float]) -> list[Sensitivity]:
    """Sort layers by the squared error that sparing them removes per millisecond that it costs, largest first.

    Args:
        order: The layers.
        milliseconds: Added latency of sparing each layer; layers that add none come first.
    """

    def worth(each: Sensitivity) -> float:
        return 10 ** (-each.distance.psnr_db / 10) / max(milliseconds.get(each.layer, 0.0), 1e-6)

    return sorted(order, key=worth, reverse=True)


def mixed_precision(
    network: nn.Module,
    options: QuantizationOptions,
    order: Sequence[Sensitivity],
    batches: Sequence[Batch],
    min_psnr_db: float,
    *,
    spared: Literal["float", 16] = "float",
) -> MixedPrecision:
    """Spare layers, in place, one after another, until the output is close enough to the float output.

    The distance is measured after each step, because the distances of single layers do not add up.

    Args:
        network: A quantized network with ranges.
        options: The options that it was quantized with.
        order: The layers, first to be spared first (`sensitivities`, `by_time`).
        batches: Inputs to measure on.
        min_psnr_db: The smallest peak signal-to-noise ratio allowed.
        spared: Precision of a spared layer: ``float``, or 16 bits in weights and activations.

    Raises:
        BudgetError: The output is not close enough with all layers spared.
        ConfigError: Layers are to have 16 bits in scheme ``gan_slimming``, which supports only 8.
    """
    if options.fixed_levels and spared != "float":
        raise ConfigError(f"mixed_precision: scheme {options.scheme} has 8 bits only; spare layers as float")
    chosen: list[str] = []
    rest = [each.layer for each in order]
    while (distance := distance_to_float(network, batches)).psnr_db < min_psnr_db:
        if not rest:
            raise BudgetError(
                f"mixed_precision: with all {len(chosen)} layers spared ({spared}) the output has "
                f"{distance.psnr_db:.1f} dB to float, expected {min_psnr_db:g}; ask for less, or spare layers as float"
            )
        chosen.append(rest.pop(0))
        _spare(quantized_layers(network)[chosen[-1]], spared)
    others = {pattern: bits for pattern, bits in options.layer_bits.items() if pattern not in chosen}
    layer_bits = {**dict.fromkeys(chosen, spared), **others}  # the first that fits counts
    return MixedPrecision(options.model_copy(update={"layer_bits": layer_bits}), tuple(chosen), distance)


def _spare(layer: QuantizedLayer, spared: Literal["float", 16]) -> None:
    if spared == "float":
        make_float(layer)
        return
    layer.weight_quantizer.bits = spared
    for quantizer in (layer.input_quantizer, layer.output_quantizer):
        if quantizer is not None:
            quantizer.set_bits(spared)
