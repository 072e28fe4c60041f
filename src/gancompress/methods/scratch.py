"""Training of a generator without a teacher, by the method of a paper that its task names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

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
from gancompress.training import Run, TrainingOptions


def train_from_scratch(
    generator: Generator,
    discriminator: Generator,
    opposite: Callable[[], tuple[nn.Module, nn.Module]],
    terms: tuple[TermOptions, ...] | None,
    options: Sequence[Options],
    training: TrainingOptions,
    data: TrainingData,
    run: Run,
    calibration: Iterable[Given],
    *,
    name: str,
) -> tuple[Generator, Generator | None] | None:
    """Train a generator with a discriminator from their current weights, from the newest checkpoint of the run.

    Args:
        generator: The generator.
        discriminator: The discriminator.
        opposite: Returns generator and discriminator of the opposite direction, for tasks that train both.
        terms: Loss terms of the generator; None for those of the task's method.
        options: Options of the objectives; each task takes its own.
        training: Options of the training loop.
        data: The training data; its task makes the objective.
        run: Directory, log and processes.
        calibration: Inputs for the running statistics of the trained generator.
        name: Name of the step or method, for messages.

    Returns:
        Generator, without spectral norm and with recomputed running statistics, and discriminator, which is None if
        the objective does not train it; None if training was stopped.

    Raises:
        ConfigError: The task has no objective without a teacher, or the terms or options do not fit it.
        CheckpointError: A network that a term needs cannot be found or read.
        TrainingError: A loss or gradient is not finite.
    """
    module, critic = generator.build(), discriminator.build()
    with torch.random.fork_rng([]):  # generators may draw noise
        image = example_outputs(module, (), data.example, "student").image
    parts = name, module, critic, image, opposite, options, training, terms, run.accelerator.num_processes
    objective = data.task.objective(TeacherTraining(*parts))
    if not run.fit(objective, training, data.loader, data.preview):
        return None
    settle_spectral_norm(module)
    recalibrate(module, calibration)
    trained = fold_spectral_norm(generator.with_weights_of(module.cpu()))
    is_trained = any(critic is each for each in objective.modules.values())
    return trained, discriminator.with_weights_of(critic.cpu()) if is_trained else None
