"""Rounding the network's weights and activations: by itself after training, or while a step trains."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from pydantic import Field
from torch import Tensor

from gancompress.errors import DataError
from gancompress.methods.quantize import quantize
from gancompress.models.generator import Generator
from gancompress.quantization import Quantization, QuantizationOptions
from gancompress.steps.step import Context, Step, Work, register_step

_BATCH_SIZE = 8


@register_step
class Quantize(Step):
    """Quantize the network as it is now, without training. A network that is quantized already gets new ranges.

    Attributes:
        quantization: What is quantized, and how.
        num_images: Training images to find the ranges of activations with.
    """

    kind = "quantize"
    takes_quantized = True

    quantization: QuantizationOptions = QuantizationOptions()
    num_images: Annotated[int, Field(ge=1)] = 64

    @property
    def quantizes(self) -> bool:
        """Always."""
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
    """What steps have in common that may quantize while they train.

    Attributes:
        quantization: Where given, weights and activations are rounded while the network trains, and stay so.
    """

    quantization: QuantizationOptions | None = None

    @property
    def quantizes(self) -> bool:
        """Whether it is told to."""
        return self.quantization is not None

    def begun(self, generator: Generator, context: Context) -> Quantization | None:
        """The quantization to begin with, its ranges from a few training images; None where there is to be none."""
        if self.quantization is None:
            return None
        return calibrated(generator, self.quantization, context, 2 * _BATCH_SIZE)


def calibrated(generator: Generator, options: QuantizationOptions, context: Context, num_images: int) -> Quantization:
    """How to quantize a generator, its ranges found with training images.

    Raises:
        ConfigError: The options do not fit the generator.
    """

    def inputs() -> Iterator[Tensor]:
        for batch in context.images("train", _BATCH_SIZE, num_images):
            yield context.task.encode(batch["input"])

    network = generator.build().to(context.accelerator.device)
    return Quantization.of(quantize(network, inputs, options, num_images=num_images), options)
