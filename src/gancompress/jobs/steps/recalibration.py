"""Recalibration of the running statistics of batch norms on the first images of the training data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from gancompress.evaluation.held_batches import HeldBatches
from gancompress.jobs.steps.step import Work
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.given import Given
from gancompress.quantization.separate import separate
from gancompress.tasks.inputs import Inputs
from gancompress.training import Batch

NUM_BATCHES = 32
"""Default number of calibration batches: 512 images in batches of 16, as in GAN Compression."""


_BATCH_SIZE = 16


class Calibration:
    """First inputs of the training data, on which running statistics are computed. They are read when first needed."""

    def __init__(self, inputs: Inputs, memory_gib: float, num_batches: int = NUM_BATCHES) -> None:
        """Take the number of batches of 16 images, all if there are fewer, and the memory to keep them in."""

        def make() -> Iterator[Batch]:
            for batch in inputs.images("train", _BATCH_SIZE, num_batches * _BATCH_SIZE):
                yield {"input": batch["input"]}

        self._task = inputs.task
        self._batches = HeldBatches(make, memory_gib)

    def __iter__(self) -> Iterator[Given]:
        """Yield inputs of the generator [b, ...], batch by batch."""
        return (self._task.encode(batch["input"]) for batch in self._batches)


def calibration_inputs(inputs: Inputs, num_batches: int = NUM_BATCHES) -> Iterator[Given]:
    """Yield the first inputs of the training data once, batch by batch; all of them if there are fewer batches."""
    return inputs.encoded("train", _BATCH_SIZE, num_batches * _BATCH_SIZE)


def recalibrated(work: Work, inputs: Inputs, device: torch.device) -> Work:
    """Return the work with recomputed running statistics of its network."""
    network = work.build().to(device)
    recalibrate(network, calibration_inputs(inputs))
    options = work.quantization and work.quantization.options
    generator, quantization = separate(network, work.generator, options)
    return replace(work, generator=generator, quantization=quantization)
