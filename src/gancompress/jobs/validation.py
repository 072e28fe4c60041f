"""Validation of a generator in training: its metrics on the split ``search``."""

from __future__ import annotations

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
            for end, evaluation in self._evaluations
            for result in evaluation.of(network)
        }

    @cached_property
    def _evaluations(self) -> list[tuple[str, Evaluation]]:
        given = self._inputs, "search"
        latent = latent_metrics(self._options.against_real, self._options)
        real = [name for name in self._options.against_real if name not in latent]
        found = [("", Evaluation(self._options, real, *given, device=self._device))] if real else []
        if self._teacher is not None and (names := self._options.against_teacher):
            teacher = self._teacher.build()
            found.append((TO_TEACHER, Evaluation(self._options, names, *given, teacher, device=self._device)))
        return found
