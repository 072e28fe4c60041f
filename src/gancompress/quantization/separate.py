"""Separation of a trained network into float weights and their quantization."""

from __future__ import annotations

import copy

from torch import nn

from gancompress.networks.generator import Generator
from gancompress.quantization.attach import remove_quantization
from gancompress.quantization.options import QuantizationOptions
from gancompress.quantization.quantization import Quantization


def separate(
    network: nn.Module, like: Generator, options: QuantizationOptions | None
) -> tuple[Generator, Quantization | None]:
    """Separate a trained network into the float network and its quantization.

    Args:
        network: The network; it is not changed.
        like: A generator with its family and options.
        options: Options that it was quantized with; None if it is not quantized.
    """
    quantization = None if options is None else Quantization.of(network, options)
    plain = remove_quantization(copy.deepcopy(network)).cpu()
    return like.with_weights_of(plain), quantization
