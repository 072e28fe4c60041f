"""Quantization of the network's weights and activations, after training or during a training step."""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field

from gancompress.jobs.steps.step import Goal, Step, StepRun, Work, register_step
from gancompress.methods.quantize import quantize
from gancompress.networks.generator import Generator
from gancompress.quantization import Quantization, QuantizationOptions
from gancompress.tasks.inputs import Inputs

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
    def new_quantization(self) -> QuantizationOptions:
        """The given one."""
        return self.quantization

    @property
    def least_images(self) -> int:
        """The given number."""
        return self.num_images

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Quantize the network."""
        found = calibrated(work.generator, self.quantization, self.num_images, inputs, run.device)
        return replace(work, quantization=found, facts={})


class Quantizing(Step, ABC):
    """Base class of the steps that may quantize while they train.

    Attributes:
        quantization: If given, weights and activations are rounded during training, and the network stays quantized.
    """

    quantization: QuantizationOptions | None = None

    @property
    def new_quantization(self) -> QuantizationOptions | None:
        """The given one, if any."""
        return self.quantization

    def begun(self, generator: Generator, inputs: Inputs, device: torch.device) -> Quantization | None:
        """Return the initial quantization, its ranges from a few training images; None without ``quantization``."""
        if self.quantization is None:
            return None
        return calibrated(generator, self.quantization, 2 * _BATCH_SIZE, inputs, device)


def calibrated(
    generator: Generator, options: QuantizationOptions, num_images: int, inputs: Inputs, device: torch.device
) -> Quantization:
    """Return the quantization of a generator, its ranges found on training images.

    Raises:
        ConfigError: The options do not fit the generator.
    """
    network = generator.build().to(device)
    batches = inputs.encoded("train", _BATCH_SIZE, num_images)
    return Quantization.of(quantize(network, batches, options, num_images=num_images), options)
