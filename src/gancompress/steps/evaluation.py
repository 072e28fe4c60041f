"""Measuring what generators make of a split."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gancompress.metrics import Evaluator, MetricResult
from gancompress.steps.metric_options import MetricOptions
from gancompress.steps.step import Context
from gancompress.training import Batch


class Evaluation:
    """The metrics of one split, for one generator after the other: networks and reference are prepared once."""

    def __init__(
        self,
        options: MetricOptions,
        names: Sequence[str],
        context: Context,
        split: str,
        teacher: nn.Module | None = None,
    ) -> None:
        """Load the networks.

        Args:
            options: How it is measured.
            names: The metrics.
            context: Data and device.
            split: Name of the split.
            teacher: Where given, its images are what is compared with, not the real ones.

        Raises:
            MetricError: A metric does not exist, or lacks its network.
            CheckpointError: A network's file cannot be had or read.
        """
        self._options, self._context, self._split = options, context, split
        self._device = context.accelerator.device
        self._teacher = None if teacher is None else teacher.to(self._device).eval()
        against = "real images" if teacher is None else "the teacher's images"
        self._evaluator = Evaluator(names, options.specs(), against, self._device)
        self._has_reference = False

    @torch.no_grad()
    def of(self, generator: nn.Module) -> list[MetricResult]:
        """Measure a generator, from inputs to images, on any device.

        Raises:
            MetricError: A metric needs pairs or label maps that the data does not have, or more images.
        """
        evaluator = self._evaluator
        evaluator.reset()
        generator = generator.to(self._device).eval()
        for batch in self._context.images(self._split, self._options.batch_size, self._options.max_images):
            images = generator(batch["input"].to(self._device)).clamp(-1, 1)
            needs_reference = evaluator.needs_targets or not self._has_reference
            reference = self._reference(batch) if needs_reference else None
            if reference is not None and not self._has_reference:
                evaluator.add_reference(reference)
            evaluator.add(images, reference if evaluator.needs_targets else None, batch.get("label"))
        self._has_reference = True
        return evaluator.results()

    def _reference(self, batch: Batch) -> Tensor:
        if self._teacher is None:
            return batch["target"].to(self._device)
        return self._teacher(batch["input"].to(self._device)).clamp(-1, 1)
