"""How much each layer's quantization changes the image, and which layers to spare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import BudgetError, ConfigError, DataError
from gancompress.quantization.attach import make_float, quantized_layers
from gancompress.quantization.calibration import Batch, as_inputs, in_mode
from gancompress.quantization.layers import QuantizedLayer
from gancompress.quantization.options import QuantizationOptions


@dataclass(frozen=True)
class Distance:
    """How far the quantized output is from the float output, over all values of all images.

    Attributes:
        l1: Mean absolute difference.
        psnr_db: Peak signal-to-noise ratio for images in [-1, 1]; infinite where there is no difference.
    """

    l1: float
    psnr_db: float


@dataclass(frozen=True)
class Sensitivity:
    """The distance that one layer causes alone.

    Attributes:
        layer: Its path.
        distance: The distance of the output when only this layer is quantized.
    """

    layer: str
    distance: Distance


@dataclass(frozen=True)
class MixedPrecision:
    """A choice of layers to spare.

    Attributes:
        options: Those of the network, with the spared layers among the exceptions.
        spared: Paths of the spared layers, most sensitive first.
        distance: What is left, as measured.
    """

    options: QuantizationOptions
    spared: tuple[str, ...]
    distance: Distance


def distance_to_float(network: nn.Module, batches: Iterable[Batch]) -> Distance:
    """How far the network as it is now is from itself with all layers float, in evaluation mode.

    Args:
        network: A quantized network that returns a tensor.
        batches: Its inputs.

    Raises:
        DataError: There is no batch.
    """
    absolute, squared, number = 0.0, 0.0, 0
    with evaluation_mode(network), torch.no_grad():
        for batch in batches:
            inputs = as_inputs(batch)
            with in_mode(network, "float"):
                expected = network(*inputs)
            difference = (network(*inputs) - expected).double()
            absolute += float(difference.abs().sum())
            squared += float(difference.square().sum())
            number += difference.numel()
    if not number:
        raise DataError("quantization: got no images to measure the distance on, expected at least one")
    psnr = 10 * math.log10(4 * number / squared) if squared else math.inf
    return Distance(absolute / number, psnr)


def sensitivities(network: nn.Module, batches: Sequence[Batch]) -> list[Sensitivity]:
    """The distance that each layer causes alone, largest first.

    Args:
        network: A quantized network with ranges; left as it was found.
        batches: Its inputs; a few images do.

    Raises:
        DataError: There is no batch.
    """
    result = []
    with in_mode(network, "float"):
        for path, layer in quantized_layers(network).items():
            layer.mode = "quantize"
            result.append(Sensitivity(path, distance_to_float(network, batches)))
            layer.mode = "float"
    return sorted(result, key=lambda each: -each.distance.l1)


def mixed_precision(
    network: nn.Module,
    options: QuantizationOptions,
    order: Sequence[Sensitivity],
    batches: Sequence[Batch],
    max_l1: float,
    *,
    spared: Literal["float", 16] = "float",
) -> MixedPrecision:
    """Spare layers, in place, one after another, until the output is close enough to the float output.

    The distance is measured after each step: what layers cause alone does not add up.

    Args:
        network: A quantized network with ranges.
        options: The options that it was quantized with.
        order: The layers, most sensitive first (`sensitivities`).
        batches: Inputs to measure on.
        max_l1: The largest mean absolute difference allowed, in units of the output.
        spared: What a spared layer becomes: ``float``, or 16 bits in weights and activations.

    Raises:
        BudgetError: It is not close enough with all layers spared.
        ConfigError: Layers are to have 16 bits in scheme ``gan_slimming``, which knows only 8.
    """
    if options.scheme == "gan_slimming" and spared != "float":
        raise ConfigError("mixed_precision: scheme gan_slimming knows 8 bits only; spare layers as float")
    chosen: list[str] = []
    rest = [each.layer for each in order]
    while (distance := distance_to_float(network, batches)).l1 > max_l1:
        if not rest:
            raise BudgetError(
                f"mixed_precision: with all {len(chosen)} layers spared ({spared}) the distance is {distance.l1:.3g}, "
                f"expected at most {max_l1:.3g}; allow more, or spare layers as float"
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
