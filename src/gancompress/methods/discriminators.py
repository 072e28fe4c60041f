"""Discriminators that fit a generator's images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gancompress.errors import ConfigError
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given, call, tensors_in
from gancompress.networks.outputs import image_of
from gancompress.tasks.task import Task


class DiscriminatorInput(NamedTuple):
    """Input of a discriminator.

    Attributes:
        channels: Number of channels: those of the image and, for pairs, of the condition.
        size: Height and width in pixels.
    """

    channels: int
    size: tuple[int, int]


@torch.no_grad()
def discriminator_input(generator: Generator, example: Given, task: Task) -> DiscriminatorInput:
    """Return the input of a discriminator of a generator's images.

    Args:
        generator: The generator.
        example: An input of it, [1, ...].
        task: The task.

    Raises:
        InputSizeError: The generator does not accept the example.
        ConfigError: It returns no images.
    """
    if isinstance(example, Tensor):
        generator.architecture.check_input(example)
    image = image_of(call(generator.build(), example))
    if image.dim() != 4:
        raise ConfigError(
            f"discriminator: got outputs of shape {list(image.shape)}, expected images [b, c, h, w]; leave the "
            "adversarial term out, or train with a discriminator of your own (gancompress.distill)"
        )
    channels = task.discriminator_channels(tensors_in(example)[0].shape[1], image.shape[1])
    return DiscriminatorInput(channels, (image.shape[-2], image.shape[-1]))


def check_discriminator(discriminator: Generator, given: DiscriminatorInput, task: Task) -> None:
    """Check that a discriminator of another network fits.

    Raises:
        ConfigError: It takes another number of channels.
        InputSizeError: The images are too small for it.
    """
    taken = discriminator.architecture.in_channels
    if taken not in (None, given.channels):
        raise ConfigError(
            f"discriminator: got a {discriminator.family} of {taken} input channels, expected {given.channels} for a "
            f"task '{task.name}' with this generator; inherit another one, or set inherit_discriminator: false"
        )
    discriminator.architecture.check_size(given.size)
