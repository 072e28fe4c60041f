"""Evaluation of the latent spaces of generators from noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gancompress.errors import MetricError
from gancompress.evaluation import LatentMetric, MetricResult, find_metric
from gancompress.evaluation.latent import LatentComparison, LatentSpace
from gancompress.networks.styles import StyledGenerator
from gancompress.perception import LpipsDistance
from gancompress.steps.metric_options import MetricOptions
from gancompress.steps.step import Context
from gancompress.tasks.latent import LatentTask


class LatentEvaluation:
    """Metrics of latent spaces, for one generator after another. Networks are loaded once."""

    def __init__(self, options: MetricOptions, names: Sequence[str], context: Context, split: str) -> None:
        """Load the networks.

        Args:
            options: Options of the metrics.
            names: The metrics.
            context: Data and device.
            split: Name of the split whose images are projected.

        Raises:
            MetricError: The task does not generate from noise, or a network passes no gradient.
            CheckpointError: A network's file cannot be loaded or read.
        """
        self._options, self._context, self._split = options, context, split
        self._metrics = latent_metrics(names, options)
        if not isinstance(context.task, LatentTask):
            raise MetricError(f"{names[0]}: got the task '{context.task.name}', expected 'latent': images from noise")
        self._task = context.task
        self._distances: dict[str, tuple[str, LpipsDistance]] = {}
        for metric, network in self._metrics.values():
            key = network or str(metric.lpips)
            if key not in self._distances:
                words = f"maps of {network}, without learned weights" if network else f"LPIPS 0.1 over {key}"
                distance = metric.load(options.specs()[network] if network else None, context.accelerator.device)
                self._distances[key] = words, distance

    def of(self, generator: nn.Module) -> dict[str, MetricResult]:
        """Evaluate a generator, in evaluation mode on the device.

        Raises:
            MetricError: It lacks the styles that a metric needs.
            DataError: Images to project cannot be read, or have another size than the generator's.
        """
        check_styles(self._metrics, generator)
        space = LatentSpace.of(generator, self._task.latent_size, len(self._task.classes))
        comparisons = {
            key: LatentComparison(space, distance, self._options.latent, self._real, self._options.batch_size)
            for key, (_, distance) in self._distances.items()
        }
        return {
            name: self._result(name, metric, network or str(metric.lpips), comparisons)
            for name, (metric, network) in self._metrics.items()
        }

    def _result(
        self, name: str, metric: LatentMetric, key: str, comparisons: Mapping[str, LatentComparison]
    ) -> MetricResult:
        found = metric.measure(comparisons[key])
        words = f"{metric.words}; {found.words}; {self._distances[key][0]}"
        return MetricResult(name, float(found.values.mean()), found.count, 0, found.interval(), metric.better, words)

    def _real(self) -> tuple[Tensor, Tensor]:
        """Return the images to project and their classes."""
        o = self._options
        batches = list(self._context.images(self._split, o.batch_size, o.latent.projection.num_images))
        targets = torch.cat([batch["target"] for batch in batches])
        return targets, torch.cat([batch["input"][:, self._task.latent_size :] for batch in batches])


def latent_metrics(names: Sequence[str], options: MetricOptions) -> dict[str, tuple[LatentMetric, str | None]]:
    """Return the metrics of latent spaces among the names, each with the network in its name.

    Raises:
        MetricError: A metric or its network does not exist.
    """
    found = {name: find_metric(name, options.networks) for name in names}
    return {name: (metric, network) for name, (metric, network) in found.items() if isinstance(metric, LatentMetric)}


def check_styles(metrics: Mapping[str, tuple[LatentMetric, str | None]], generator: nn.Module) -> None:
    """Raise MetricError if a metric of W is given for a generator without styles."""
    wanting = [name for name, (metric, _) in metrics.items() if metric.needs_styles]
    if wanting and not isinstance(generator, StyledGenerator):
        raise MetricError(
            f"{', '.join(wanting)}: got a {type(generator).__name__}, expected a generator with styles; take ppl_z"
        )
