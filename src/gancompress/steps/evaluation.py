"""Measuring what a generator makes of a split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from gancompress.metrics import Evaluator, MetricResult, find_metric
from gancompress.metrics.registry import PairMetric, SetMetric
from gancompress.steps.metric_options import MetricOptions
from gancompress.steps.step import Context
from gancompress.training import Batch


class Evaluation:
    """The metrics of one split, ready for one generator after the other."""

    def __init__(self, options: MetricOptions, names: Sequence[str], context: Context, split: str) -> None:
        """Load the networks and the split.

        Args:
            options: What is measured and how.
            names: The metrics, against real images unless a teacher is given to `of`.
            context: Data and device.
            split: Name of the split.

        Raises:
            MetricError: A metric does not exist, lacks its network, or needs pairs that the task does not have.
        """
        self._options, self._context, self._split = options, context, split
        self._networks = options.specs()
        self._metrics = [find_metric(name, self._networks)[0] for name in names]
        self._names = names

    def of(self, generator: nn.Module, teacher: nn.Module | None = None) -> list[MetricResult]:
        """Measure a generator.

        Args:
            generator: From inputs to images; on any device.
            teacher: Where given, its images are what is compared with, not the real ones.
        """
        device = self._context.accelerator.device
        against = "real images" if teacher is None else "the teacher's images"
        evaluator = Evaluator(self._names, self._networks, against, device)
        generator = generator.to(device).eval()
        with torch.no_grad():
            for batch in self._batches():
                inputs = batch["input"].to(device)
                images = generator(inputs)
                reference = batch["target"].to(device) if teacher is None else teacher.to(device).eval()(inputs)
                if any(isinstance(metric, SetMetric) for metric in self._metrics):
                    evaluator.add_reference(_rgb(reference))
                has_pairs = any(isinstance(metric, PairMetric) for metric in self._metrics)
                evaluator.add(_rgb(images), _rgb(reference) if has_pairs else None, batch.get("label"))
        return evaluator.results()

    def _batches(self) -> Iterable[Batch]:
        return self._context.images(self._split, self._options.batch_size, self._options.max_images)


def _rgb(images: Tensor) -> Tensor:
    return images.clamp(-1, 1)
