"""Training of a generator without a teacher, by the method of a paper that its task names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from gancompress.losses import TermOptions
from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.training import TrainingData
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given
from gancompress.networks.spectral_norm import fold_spectral_norm, settle_spectral_norm
from gancompress.objectives.supervision import example_outputs
from gancompress.options import Options
from gancompress.tasks import TeacherTraining
from gancompress.training import Objective, Run, TrainingOptions


@dataclass(frozen=True)
class Trained:
    """A generator after its training.

    Attributes:
        generator: The generator, without spectral norm and with recomputed running statistics.
        discriminator: Its discriminator; None if the objective does not train it.
    """

    generator: Generator
    discriminator: Generator | None


@dataclass(frozen=True)
class Untrained:
    """A generator to train, by the method of its task.

    Attributes:
        generator: The generator with its first weights.
        discriminator: Its discriminator with its first weights.
        opposite: Returns generator and discriminator of the opposite direction, for tasks that train both.
        terms: Loss terms of the generator; None for those of the task's method.
        options: Options of the objectives; each task takes its own.
    """

    generator: Generator
    discriminator: Generator
    opposite: Callable[[], tuple[nn.Module, nn.Module]]
    terms: tuple[TermOptions, ...] | None
    options: Sequence[Options]

    def objective(self, training: TrainingOptions, data: TrainingData, run: Run, name: str) -> Objective:
        """Return the objective that trains it; its module ``generator`` is this one.

        Args:
            training: Options of the training loop.
            data: The training data; its task makes the objective.
            run: Run of the training.
            name: Name of the step or method, for messages.

        Raises:
            ConfigError: The task has no objective without a teacher, or the terms or options do not fit it.
            CheckpointError: A network that a term needs cannot be found or read.
        """
        module, critic = self.generator.build(), self.discriminator.build()
        with torch.random.fork_rng([]):  # generators may draw noise
            image = example_outputs(module, (), data.example, "student").image
        parts = name, module, critic, image, self.opposite, self.options, training, self.terms
        return data.task.objective(TeacherTraining(*parts, run.accelerator.num_processes))

    def trained(self, objective: Objective, calibration: Iterable[Given]) -> Trained:
        """Return it with the weights that its objective trained.

        Args:
            objective: What `objective` returned.
            calibration: Inputs for the running statistics.
        """
        module, critic = objective.modules["generator"], objective.modules.get("discriminator")
        settle_spectral_norm(module)
        recalibrate(module, calibration)
        generator = fold_spectral_norm(self.generator.with_weights_of(module.cpu()))
        return Trained(generator, None if critic is None else self.discriminator.with_weights_of(critic.cpu()))


def train_from_scratch(
    untrained: Untrained,
    training: TrainingOptions,
    data: TrainingData,
    run: Run,
    calibration: Iterable[Given],
    *,
    name: str,
) -> Trained | None:
    """Train a generator with a discriminator from their first weights, from the newest checkpoint of the run.

    Args:
        untrained: The generator, its discriminator and its loss terms.
        training: Options of the training loop.
        data: The training data; its task makes the objective.
        run: Directory, log and processes.
        calibration: Inputs for the running statistics of the trained generator.
        name: Name of the step or method, for messages.

    Returns:
        The trained generator; None if training was stopped.

    Raises:
        ConfigError: The task has no objective without a teacher, or the terms or options do not fit it.
        CheckpointError: A network that a term needs cannot be found or read.
        TrainingError: A loss or gradient is not finite.
    """
    objective = untrained.objective(training, data, run, name)
    if not run.fit(objective, training, data.loader, data.preview):
        return None
    return untrained.trained(objective, calibration)
