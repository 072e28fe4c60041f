"""Training the teacher, where there is no checkpoint of one."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field

from gancompress.errors import ConfigError
from gancompress.models.families import build
from gancompress.models.generator import Generator
from gancompress.options import Options
from gancompress.steps.step import Context, Step, Work
from gancompress.tasks import CycleGanObjective, CycleGanOptions, Pix2PixObjective, Pix2PixOptions
from gancompress.training import TrainingOptions


class NetworkOptions(Options):
    """A network to build.

    Attributes:
        family: A family's name, or ``package.module:Class``.
        config: Its options.
    """

    family: str
    config: dict[str, Any] = Field(default_factory=dict)

    def fresh(self, seed: int, **fixed: Any) -> Generator:
        """The network with fresh weights.

        Args:
            seed: Of the weights.
            fixed: Options that follow from the job; the config must not contradict them.
        """
        for name, value in fixed.items():
            if self.config.get(name, value) != value:
                raise ConfigError(
                    f"{self.family}.{name}: got {self.config[name]}, but the task needs {value}; leave it out"
                )
        config = {**self.config, **fixed}
        torch.manual_seed(seed)
        return Generator.from_module(build(self.family, config), self.family, config)


PATCHGAN = NetworkOptions(family="patchgan")


class TrainTeacher(Step):
    """Train a teacher as its paper did: pix2pix on pairs, CycleGAN without.

    Attributes:
        network: The generator.
        discriminator: The discriminator; its input channels follow from the task.
        pix2pix: Weights of the terms, for a paired task.
        cyclegan: Weights of the terms, for an unpaired task.
        training: How long and how.
    """

    kind = "train_teacher"

    network: NetworkOptions
    discriminator: NetworkOptions = PATCHGAN
    pix2pix: Pix2PixOptions = Pix2PixOptions()
    cyclegan: CycleGanOptions = CycleGanOptions()
    training: TrainingOptions = TrainingOptions()

    def run(self, work: Work, context: Context) -> Work:
        """Train generator and discriminator from fresh weights; ``work.generator`` is not looked at."""
        generator = self.network.fresh(context.seed)
        discriminator = fresh_discriminator(self.discriminator, generator, context)
        networks = {"generator": generator.build(), "discriminator": discriminator.build()}
        if context.task.paired:
            objective = Pix2PixObjective(context.task, networks["generator"], networks["discriminator"], self.pix2pix)
        else:
            networks["generator_back"] = self.network.fresh(context.seed + 1).build()
            networks["discriminator_back"] = self.discriminator.fresh(context.seed + 1).build()
            objective = CycleGanObjective(context.task, networks, self.cyclegan)
        context.train(objective, self.training)
        teacher = Generator.from_module(networks["generator"].cpu(), generator.family, generator.config)
        judge = Generator.from_module(networks["discriminator"].cpu(), discriminator.family, discriminator.config)
        return Work(teacher, teacher, judge)


def fresh_discriminator(options: NetworkOptions, generator: Generator, context: Context) -> Generator:
    """A discriminator with fresh weights for a generator's images."""
    with torch.no_grad():
        example = context.example()
        image = generator.build()(example)
    channels = context.task.discriminator_channels(example.shape[1], image.shape[1])
    return options.fresh(context.seed + 2, in_channels=channels)
