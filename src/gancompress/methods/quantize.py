"""Post-training quantization, with activation ranges from a few batches."""

from __future__ import annotations

from torch import nn

from gancompress.channels.skeleton import copy_module
from gancompress.methods.data import Batches, Data
from gancompress.networks.given import arguments
from gancompress.networks.reparametrized import fold_reparametrizations
from gancompress.quantization import QuantizationOptions, calibrate
from gancompress.quantization import quantize as attach

NUM_IMAGES = 64


def quantize(
    network: nn.Module,
    batches: Data,
    options: QuantizationOptions | None = None,
    *,
    num_images: int = NUM_IMAGES,
    min_images: int = 1,
) -> nn.Module:
    """Quantize the weights and activations of a network, without training.

    Weight norm and spectral norm are replaced by the weights that they compute in evaluation: those are rounded.

    Args:
        network: A float network; it is not changed.
        batches: Inputs like those in deployment; they need no labels.
        options: Layers to quantize and their bits; 8 bits by default.
        num_images: Images to find the ranges with; fewer if the batches have fewer.
        min_images: The lowest number of images that is accepted.

    Returns:
        A copy in evaluation mode that simulates integer rounding, on the device of the network.

    Raises:
        ConfigError: The network is quantized already, or has no layer that can be quantized.
        DataError: There are too few images.
    """
    given = Batches(batches, "batches")
    plain = copy_module(network)
    fold_reparametrizations(plain)
    quantized = attach(plain, options or QuantizationOptions())
    device = next(network.parameters()).device
    inputs = (arguments(quantized, each.to(device)) for each in given.inputs(num_images))
    return calibrate(quantized, inputs, min_images=min_images).eval()
