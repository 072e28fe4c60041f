"""Training of a teacher, for jobs without a checkpoint of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import nn

from gancompress.errors import ConfigError
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import MEASURED, NOT_DECLARED
from gancompress.networks.image_options import ImageOptions
from gancompress.networks.registry import architecture_of, find_network
from gancompress.networks.spectral_norm import fold_spectral_norm, settle_spectral_norm
from gancompress.options import Options
from gancompress.steps.recalibration import Calibration
from gancompress.steps.step import Context, Step, Work
from gancompress.tasks import (
    CycleGanOptions,
    GauganOptions,
    Pix2PixOptions,
    SnganOptions,
    StyleGan2Options,
    Task,
    TeacherTraining,
)
from gancompress.training import TrainingOptions


class NetworkOptions(ImageOptions):
    """A network to build.

    Attributes:
        family: A family's name, or ``package.module:Class``.
        config: Options of the family.
    """

    family: str
    config: dict[str, Any] = Field(default_factory=dict)

    def fixed_by(self, task: Task) -> dict[str, Any]:
        """Return the options of a generator that follow from the task; empty for a user's own class."""
        return task.generator_options() if find_network(self.family).takes_task_options else {}

    def fresh(self, seed: int, **fixed: Any) -> Generator:
        """Return the network with fresh weights.

        Args:
            seed: Seed of the weights.
            fixed: Options that follow from the job; the config must not contradict them.
        """
        for name, value in fixed.items():
            if self.config.get(name, value) != value:
                raise ConfigError(
                    f"{self.family}.{name}: got {self.config[name]}, but the task needs {value}; leave it out"
                )
        if self.range == MEASURED:
            raise ConfigError(f"{self.family}: range: got {MEASURED} for fresh weights, expected a range such as 0..1")
        architecture = architecture_of(self.family, {**self.config, **fixed}, self.images)
        torch.manual_seed(seed)
        return Generator.of(architecture)


PATCHGAN = NetworkOptions(family="patchgan")


class PaperTraining(Step):
    """Training without a teacher, by the method of a paper.

    The task makes the objective: pix2pix on pairs, GauGAN on label maps, CycleGAN without pairs, SNGAN and StyleGAN2
    from noise. The generator is returned without spectral norm and with recomputed running statistics.

    Attributes:
        discriminator: The discriminator; its input channels follow from the task.
        pix2pix: Weights of the terms, for a paired task.
        gaugan: Weights of the terms, for a semantic task.
        cyclegan: Weights of the terms, for an unpaired task.
        sngan: Options of the updates, for a latent task.
        stylegan2: Regularisers and style mixing, for a latent task whose generator is a StyleGAN2.
        training: Options of the training loop.
    """

    discriminator: NetworkOptions = PATCHGAN
    pix2pix: Pix2PixOptions = Pix2PixOptions()
    gaugan: GauganOptions = GauganOptions()
    cyclegan: CycleGanOptions = CycleGanOptions()
    sngan: SnganOptions = SnganOptions()
    stylegan2: StyleGan2Options = StyleGan2Options()
    training: TrainingOptions = TrainingOptions()

    def train(self, fresh: Callable[[int], Generator], context: Context) -> Work:
        """Train a generator and its discriminator from fresh weights.

        Args:
            fresh: Returns the generator with fresh weights for a seed.
            context: Context of the step.

        Raises:
            ConfigError: The task needs an existing teacher, or the options do not fit the task.
            InputSizeError: The generator or the discriminator does not accept images of this size.
            TrainingError: Raised by `Context.train`.
        """
        if not context.task.trains_teacher:
            raise ConfigError(
                f"{self.kind}: got the task '{context.task.name}', expected a generator that is trained already; give "
                "its teacher.checkpoint"
            )
        generator = fresh(context.seed)
        if generator.architecture.images is None:
            context.log.said(f"{self.kind}: {generator.family} {NOT_DECLARED}; say otherwise with network.range")
        discriminator = fresh_discriminator(self.discriminator, generator, context)
        module, judging = generator.build(), discriminator.build()

        def opposite() -> tuple[nn.Module, nn.Module]:
            return fresh(context.seed + 1).build(), self.discriminator.fresh(context.seed + 1).build()

        options = [value for _, value in self if isinstance(value, Options)]
        parts = (self.kind, module, judging, opposite, options, self.training, context.accelerator.num_processes)
        context.train(context.task.objective(TeacherTraining(*parts)), self.training)
        settle_spectral_norm(module)
        recalibrate(module, Calibration(context))
        teacher = fold_spectral_norm(generator.with_weights_of(module.cpu()))
        return Work(teacher, teacher, discriminator.with_weights_of(judging.cpu()))


class TrainTeacher(PaperTraining):
    """Step that trains the teacher.

    Attributes:
        network: The generator.
    """

    kind = "train_teacher"

    network: NetworkOptions

    def run(self, work: Work, context: Context) -> Work:
        """Train the teacher; the given work is ignored. Raises the errors of `PaperTraining.train`."""
        fixed = self.network.fixed_by(context.task)
        return self.train(lambda seed: self.network.fresh(seed, **fixed), context)


def fresh_discriminator(options: NetworkOptions, generator: Generator, context: Context) -> Generator:
    """Return a discriminator with fresh weights for a generator's images.

    Args:
        options: The discriminator.
        generator: The generator of the images.
        context: Context of the step.

    Raises:
        ConfigError: Its options do not fit the task.
        InputSizeError: The images are too small for it, or the generator does not accept them.
    """
    channels, size = _seen_by_discriminator(generator, context)
    discriminator = options.fresh(context.seed + 2, in_channels=channels)
    discriminator.architecture.check_size(size)
    return discriminator


def check_discriminator(discriminator: Generator, generator: Generator, context: Context) -> None:
    """Check that an inherited discriminator fits a generator's images.

    Raises:
        ConfigError: It takes another number of channels.
        InputSizeError: The images are too small for it, or the generator does not accept them.
    """
    channels, size = _seen_by_discriminator(generator, context)
    taken = discriminator.architecture.in_channels
    if taken not in (None, channels):
        raise ConfigError(
            f"discriminator: got a {discriminator.family} of {taken} input channels, expected {channels} for a task "
            f"'{context.task.name}' with this generator; inherit another one, or set inherit_discriminator: false"
        )
    discriminator.architecture.check_size(size)


def _seen_by_discriminator(generator: Generator, context: Context) -> tuple[int, tuple[int, int]]:
    """Return the number of channels and the size of a discriminator's input for this task."""
    with torch.no_grad():
        example = context.example()
        generator.architecture.check_input(example)
        image = generator.build()(example)
    channels = context.task.discriminator_channels(example.shape[1], image.shape[1])
    return channels, (image.shape[-2], image.shape[-1])
