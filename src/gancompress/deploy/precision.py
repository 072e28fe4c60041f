"""Precision of a file, and the conversion of a float network to 8-bit integers with a few images.

Each part of the images has one use: a half calibrates the ranges of activations, a quarter selects the layers that must
stay float, and a quarter measures the distance of the file from the float network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from torch import nn

from gancompress.channels.skeleton import copy_module
from gancompress.deploy.axes import Inputs
from gancompress.deploy.rewrites import Change, rewritten
from gancompress.errors import BudgetError, ConfigError, DataError
from gancompress.quantization import (
    QuantizationOptions,
    by_time,
    calibrate,
    carry_quantization,
    centre_ranges,
    distance_to_float,
    mixed_precision,
    quantizable_layers,
    quantize,
    quantize_outputs,
    quantized_layers,
    ranges_of,
    remove_quantization,
    round_once,
    sensitivities,
)

MIN_IMAGES = 32
"""Smallest number of images for calibration and measurement."""
DEFAULT_MIN_PSNR_DB = 30.0
"""Default PSNR of integers against the float network: a root mean square error of 8 of 255 levels."""
_INTEGER_BITS = 8
_MOST_PIXELS = 4 * 256 * 256
"""Pixels of the images that a network runs on at once."""
_NO_BIAS = 1e-30
"""Smaller than a rounding error of any activation in float32, larger than its denormal numbers."""


@dataclass(frozen=True)
class Precision:
    """Precision of a file, with the data for its calibration.

    Attributes:
        name: Name of a `ComputeType` of the format. ``int8``: activations and weights of the layers that gain by it;
            ``fp16`` for GPUs; ``bf16``: computation on OpenVINO, while the file stays float.
        images: Inputs like those that the network will see, a few images in each, for the calibration of ``int8`` and
            the comparison of a file of any precision with the float network.
        min_psnr_db: Closeness to the float network on the images. In ``int8`` layers stay float until it is reached;
            a file of ``fp16`` or ``bf16`` that does not reach it is refused. 0 sets no limit.
        float_layers: Layers, as the format's rewrites name them, that stay float in any case; by default those that are
            slower in integers.
        milliseconds: Measured time that a layer costs in float; by default all layers cost the same.
    """

    name: str = "fp32"
    images: Sequence[Inputs] = ()
    min_psnr_db: float = DEFAULT_MIN_PSNR_DB
    float_layers: Sequence[str] | None = None
    milliseconds: Mapping[str, float] = field(default_factory=dict)

    def parts(self) -> tuple[Sequence[Inputs], Sequence[Inputs], Sequence[Inputs]]:
        """Split the images into those for the ranges, for the choice of layers, and for the final measurement.

        Raises:
            DataError: There are too few.
        """
        number = sum(len(inputs[0]) for inputs in self.images)
        if number < MIN_IMAGES or len(self.images) < 4:
            raise DataError(
                f"calibration: got {number} images, expected at least {MIN_IMAGES} like those that the network will "
                "see; give more (they need no labels)"
            )
        half, quarter = len(self.images) // 2, len(self.images) // 4
        return self.images[:half], self.images[half : half + quarter], self.images[half + quarter :]


@dataclass(frozen=True)
class IntegerForm:
    """Form of a network of 8-bit integers that suits a runtime.

    Attributes:
        rewrites: Rewrites before rounding.
        outputs: Whether it needs the rounding of a layer's output to compute in integers.
        moves: Whether operators that only move values should move integers.
        slow: Function that returns the paths of the layers that it computes faster in float.
        centred: Classes of layers that it computes in integers only if the integer of 0 is the middle one, or 0.
        biased: Whether every layer of integers needs a bias.
    """

    rewrites: tuple[str, ...]
    outputs: bool
    moves: bool
    slow: Callable[[nn.Module], Sequence[str]] = lambda network: ()
    centred: tuple[type[nn.Module], ...] = ()
    biased: bool = False


@dataclass(frozen=True)
class InIntegers:
    """Network prepared for a file of integers.

    Attributes:
        network: The rewritten network, quantized, with known ranges.
        changes: Changes by the rewrites.
        float_layers: Paths of the layers that stay float.
    """

    network: nn.Module
    changes: tuple[Change, ...]
    float_layers: tuple[str, ...]


def in_integers(
    module: nn.Module,
    form: IntegerForm,
    precision: Precision,
    rewrites: Sequence[str],
    extremes: Sequence[Inputs] = (),
    most_pixels: int | None = None,
) -> InIntegers:
    """Convert a network to integers after training.

    Args:
        module: A float network, or a quantized one, whose trained ranges and float layers it keeps.
        form: Form of the network for the runtime.
        precision: Images and budget.
        rewrites: Rewrites to apply, usually ``form.rewrites``.
        extremes: Inputs that the ranges hold beside those of the images.
        most_pixels: Pixels of the images that the network runs on at once; those of four of 256x256 by default.

    Raises:
        DataError: There are too few images.
        BudgetError: The budget cannot be met.
    """
    calibrating, choosing, _ = precision.parts()
    most_pixels = most_pixels or _MOST_PIXELS
    ranges = _in_small_batches([*calibrating, *extremes], most_pixels)
    chosen = _in_small_batches(choosing, most_pixels)
    trained = bool(quantized_layers(module))
    plain = remove_quantization(copy_module(module)) if trained else module
    network, changes = rewritten(plain, rewrites)
    stay = form.slow(network) if precision.float_layers is None else precision.float_layers
    options = QuantizationOptions(
        image=True, outputs=form.outputs, ranges="minmax", layer_bits=dict.fromkeys(stay, "float")
    )
    if trained:
        network = _with_trained_ranges(module, network, options, ranges)
    else:
        if set(quantizable_layers(network)) <= set(stay):
            raise ConfigError("int8: got a network all of whose layers stay float, expected one that gains by integers")
        network = centre_ranges(calibrate(quantize(network, options), ranges, min_images=1), form.centred)
        network = round_once(network, ranges[0])
    if precision.min_psnr_db and distance_to_float(network, chosen).psnr_db < precision.min_psnr_db:
        order = by_time(sensitivities(network, _in_small_batches(choosing[:1], most_pixels)), precision.milliseconds)
        mixed_precision(network, options, order, chosen, precision.min_psnr_db)
        if not quantized_layers(network):
            raise BudgetError(
                f"int8: only with all layers in float the output has {precision.min_psnr_db:g} dB to the float "
                "network; ask for less (0 accepts any distance), or export fp32"
            )
    if form.biased:
        _give_biases(network)
    return InIntegers(network.eval(), changes, tuple(quantizable_layers(network)))


def _in_small_batches(images: Sequence[Inputs], most_pixels: int) -> list[Inputs]:
    """Split batches of large images, so that memory does not grow with their size and number; others stay unchanged."""
    small: list[Inputs] = []
    for inputs in images:
        first = inputs[0]
        count = max(1, most_pixels // math.prod(first.shape[-2:])) if first.dim() > 2 else len(first)
        parts = [inputs] if len(first) <= count else zip(*(each.split(count) for each in inputs), strict=True)
        small.extend(parts)
    return small


def _give_biases(network: nn.Module) -> None:
    """Give quantized layers without a bias, or with zeros, one too small to change an output: converters drop zeros."""
    for layer in quantized_layers(network).values():
        if layer.bias is None or not layer.bias.any():
            num_channels = layer.out_features if isinstance(layer, nn.Linear) else cast(int, layer.out_channels)
            layer.bias = nn.Parameter(layer.weight.new_full((num_channels,), _NO_BIAS))


def fits_integers(module: nn.Module) -> bool:
    """Return whether a quantized network has grids of 8-bit integers, so that it can take a runtime's form."""
    layers = quantized_layers(module).values()
    grids = [
        quantizer for layer in layers for quantizer in (layer.input_quantizer, layer.output_quantizer) if quantizer
    ]
    return bool(grids) and all(each.bits == _INTEGER_BITS and each.grid().highest < 2**_INTEGER_BITS for each in grids)


def _with_trained_ranges(
    module: nn.Module, network: nn.Module, options: QuantizationOptions, images: Sequence[Inputs]
) -> nn.Module:
    """Quantize the rewritten network as the trained one; calibrate ranges that training did not need on images."""

    layers = quantizable_layers(network)

    def place(path: str) -> str:
        """Return the path of the layer, or of the one convolution in its replacement."""
        return path if path in layers else next(name for name in layers if name.startswith(f"{path}."))

    carry_quantization(module, network, place)
    if options.outputs:
        known = {name: tensor.clone() for name, tensor in ranges_of(network).items()}
        calibrate(quantize_outputs(network, options), images, min_images=1)
        network.load_state_dict(known, strict=False)
    return network
