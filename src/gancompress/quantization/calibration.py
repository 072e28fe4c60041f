"""Post-training quantization: ranges of activations from a few images, without labels and without training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ConfigError, DataError
from gancompress.quantization.attach import quantized_layers
from gancompress.quantization.layers import Mode, QuantizedLayer
from gancompress.quantization.quantization import ranges_of

Batch = Tensor | tuple[Tensor, ...]
"""The input of a network, or all of its inputs."""


def calibrate(network: nn.Module, batches: Iterable[Batch], *, min_images: int = 16) -> nn.Module:
    """Replace the ranges of all activations by those observed on some images, in place.

    The network computes in float meanwhile, in evaluation mode. A ``minmax`` range holds all observed values, others
    are the mean over the ranges of the batches.

    Args:
        network: A quantized network.
        batches: Its inputs, [b, ...] each, in tuples where it takes several; images like those of its use, but not
            those that it is evaluated on.
        min_images: Fewer than these are refused.

    Returns:
        The same network.

    Raises:
        ConfigError: The network is not quantized.
        DataError: There are too few images; the ranges are unchanged then.
    """
    layers = quantized_layers(network)
    if not layers:
        raise ConfigError("calibrate: the network is not quantized; quantize it first")
    quantizers = [q for layer in layers.values() for q in (layer.input_quantizer, layer.output_quantizer) if q]
    before = {name: tensor.clone() for name, tensor in ranges_of(network).items()}
    for quantizer in quantizers:
        quantizer.start_observing()
    num_images = 0
    with evaluation_mode(network), torch.no_grad(), in_mode(network, "observe"):
        for batch in batches:
            inputs = as_inputs(batch)
            network(*inputs)
            num_images += len(inputs[0])
    if num_images < min_images:
        network.load_state_dict(before, strict=False)
        raise DataError(
            f"calibrate: got {num_images} images, expected at least {min_images}; give more (they need no labels), or "
            "lower min_images and check the result"
        )
    return network


def centre_ranges(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> nn.Module:
    """Widen the input ranges of layers of some kinds until the integer of 0 is the middle one, in place.

    For kernels that compute in integers without a zero point only. A range without negative values stays: there the
    integer of 0 is 0.

    Args:
        network: A quantized network whose ranges are known.
        kinds: Classes of layers.
    """
    for layer in quantized_layers(network).values():
        quantizer = layer.input_quantizer
        if isinstance(layer, kinds) and quantizer is not None:
            lower, upper = quantizer.bounds()
            if lower < 0:
                below = 2 ** (quantizer.bits - 1)
                reach = torch.maximum(-lower / below, upper / (below - 1))
                quantizer.set_bounds(-below * reach, (below - 1) * reach)
    return network


@contextmanager
def in_mode(network: nn.Module, mode: Mode) -> Iterator[None]:
    """Set all quantized layers to one mode; restore the mode of each afterwards."""
    modes: list[tuple[QuantizedLayer, Mode]] = [(layer, layer.mode) for layer in quantized_layers(network).values()]
    for layer, _ in modes:
        layer.mode = mode
    try:
        yield
    finally:
        for layer, old in modes:
            layer.mode = old


def as_inputs(batch: Batch) -> tuple[Tensor, ...]:
    """Return all inputs of a network as a tuple."""
    return batch if isinstance(batch, tuple) else (batch,)
