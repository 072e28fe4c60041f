"""Quantization of the network's weights and activations, after training or during a training step."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from pydantic import Field
from torch import Tensor

from gancompress.errors import DataError
from gancompress.methods.quantize import quantize
from gancompress.networks.generator import Generator
from gancompress.quantization import Quantization, QuantizationOptions
from gancompress.steps.step import Context, Step, Work, register_step

_BATCH_SIZE = 8


@register_step
class Quantize(Step):
    """Step that quantizes the current network without training. A quantized network gets new ranges.

    Attributes:
        quantization: Layers and bits that are quantized, and the source of ranges.
        num_images: Training images on which the ranges of activations are found.
    """

    kind = "quantize"
    takes_quantized = True

    quantization: QuantizationOptions = QuantizationOptions()
    num_images: Annotated[int, Field(ge=1)] = 64

    @property
    def quantizes(self) -> bool:
        """True."""
        return True

    def run(self, work: Work, context: Context) -> Work:
        """Quantize the network.

        Raises:
            DataError: There are fewer training images.
        """
        available = len(context.data.open("train"))
        if available < self.num_images:
            raise DataError(
                f"quantize: num_images: got {self.num_images}, but the training data has {available}; lower it"
            )
        found = calibrated(work.generator, self.quantization, context, self.num_images)
        return replace(work, quantization=found, facts={})


class Quantizing(Step, ABC):
    """Base class of the steps that may quantize while they train.

    Attributes:
        quantization: If given, weights and activations are rounded during training, and the network stays quantized.
    """

    quantization: QuantizationOptions | None = None

    @property
    def quantizes(self) -> bool:
        """True if ``quantization`` is given."""
        return self.quantization is not None

    def begun(self, generator: Generator, context: Context) -> Quantization | None:
        """Return the initial quantization, its ranges from a few training images; None without ``quantization``."""
        if self.quantization is None:
            return None
        return calibrated(generator, self.quantization, context, 2 * _BATCH_SIZE)


def calibrated(generator: Generator, options: QuantizationOptions, context: Context, num_images: int) -> Quantization:
    """Return the quantization of a generator, its ranges found on training images.

    Raises:
        ConfigError: The options do not fit the generator.
    """

    def inputs() -> Iterator[Tensor]:
        for batch in context.images("train", _BATCH_SIZE, num_images):
            yield context.task.encode(batch["input"])

    network = generator.build().to(context.accelerator.device)
    return Quantization.of(quantize(network, inputs, options, num_images=num_images), options)
