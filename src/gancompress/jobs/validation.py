"""Validation of a generator in training: its metrics on the split ``search``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import nn

from gancompress.evaluation.latent.evaluation import latent_metrics
from gancompress.evaluation.options import MetricOptions
from gancompress.evaluation.split_evaluation import Evaluation
from gancompress.networks.generator import Generator
from gancompress.report import TO_TEACHER
from gancompress.tasks.inputs import Inputs


class Validation:
    """Metrics of a generator in training on the split ``search``, by name: ``search/psnr_to_teacher``.

    Networks are loaded and images decoded at the first call. Metrics of a latent space are left out: they take longer
    than the training between two measurements.

    Args:
        teacher: The teacher to compare with, too; None while it is the teacher that trains.
        inputs: Images of the data, for the task.
        options: The metrics.
        num_images: Images to measure on; 0 for as many as the options say.
        device: Device of the computation.
    """

    def __init__(
        self,
        teacher: Generator | None,
        inputs: Inputs,
        options: MetricOptions,
        num_images: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self._options = options.model_copy(update={"max_images": num_images}) if num_images else options
        self._teacher, self._inputs, self._device = teacher, inputs, device

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Return the metrics of a network. Raises MetricError; see `Evaluation`."""
        return {
            f"search/{result.name}{end}": result.value
            for end, evaluation in self._evaluations.items()
            for result in evaluation.of(network)
        }

    @cached_property
    def _evaluations(self) -> dict[str, Evaluation]:
        latent = latent_metrics(self._options.against_real, self._options)
        real = tuple(name for name in self._options.against_real if name not in latent)
        options = self._options.model_copy(update={"against_real": real})
        return dict(evaluations(self._teacher, self._inputs, options, "search", self._device))


def evaluations(
    teacher: Generator | None, inputs: Inputs, options: MetricOptions, split: str, device: torch.device | str
) -> Iterator[tuple[str, Evaluation]]:
    """Yield the evaluation against real images and, with a teacher, that against its images, behind the names' end.

    Raises:
        MetricError: Raised by `Evaluation`.
    """
    yield "", Evaluation(options, options.against_real, inputs, split, device=device)
    if teacher is not None:
        yield TO_TEACHER, Evaluation(options, options.against_teacher, inputs, split, teacher.build(), device=device)
