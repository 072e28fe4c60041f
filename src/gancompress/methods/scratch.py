"""Training of a generator without a teacher, by the method of a paper that its task names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import nn

from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.training import TrainingData
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given
from gancompress.networks.spectral_norm import fold_spectral_norm, settle_spectral_norm
from gancompress.options import Options
from gancompress.tasks import TeacherTraining
from gancompress.training import Run, TrainingOptions


def train_from_scratch(
    generator: Generator,
    discriminator: Generator,
    opposite: Callable[[], tuple[nn.Module, nn.Module]],
    options: Sequence[Options],
    training: TrainingOptions,
    data: TrainingData,
    run: Run,
    calibration: Iterable[Given],
    *,
    name: str,
) -> tuple[Generator, Generator] | None:
    """Train a generator with a discriminator from their current weights, from the newest checkpoint of the run.

    Args:
        generator: The generator.
        discriminator: The discriminator.
        opposite: Returns generator and discriminator of the opposite direction, for tasks that train both.
        options: Options of the objectives; each task takes its own.
        training: Options of the training loop.
        data: The training data; its task makes the objective.
        run: Directory, log and processes.
        calibration: Inputs for the running statistics of the trained generator.
        name: Name of the step or method, for messages.

    Returns:
        Generator, without spectral norm and with recomputed running statistics, and discriminator; None if training
        was stopped.

    Raises:
        ConfigError: The task has no objective without a teacher, or the options do not fit it.
        TrainingError: A loss or gradient is not finite.
    """
    module, critic = generator.build(), discriminator.build()
    parts = name, module, critic, opposite, options, training, run.accelerator.num_processes
    if not run.fit(data.task.objective(TeacherTraining(*parts)), training, data.loader, data.preview):
        return None
    settle_spectral_norm(module)
    recalibrate(module, calibration)
    trained = fold_spectral_norm(generator.with_weights_of(module.cpu()))
    return trained, discriminator.with_weights_of(critic.cpu())
