"""The discriminator of a step that trains a student."""

from __future__ import annotations

from torch import nn

from gancompress.jobs.steps.networks import NetworkOptions
from gancompress.methods.discriminators import check_discriminator, discriminator_input
from gancompress.networks.generator import Generator
from gancompress.tasks.inputs import Inputs


def initial_discriminator(
    inherited: Generator | None, options: NetworkOptions, teacher: Generator, inputs: Inputs, seed: int
) -> Generator:
    """Return the inherited discriminator, or a fresh one.

    Args:
        inherited: The newest discriminator of the work; None for a fresh one.
        options: The network of a fresh one.
        teacher: Generates images of the size that it takes.
        inputs: Images of the data, for the task.
        seed: Seed of fresh weights.

    Raises:
        ConfigError: The discriminator does not fit the images.
    """
    given = discriminator_input(teacher, inputs.example(), inputs.task)
    if inherited is None:
        return options.fresh_discriminator(seed, given)
    check_discriminator(inherited, given, inputs.task)
    return inherited


def trained_discriminator(given: Generator | None, network: nn.Module | None) -> Generator | None:
    """Return a discriminator with its network's current weights; None if there is none."""
    if given is None or network is None:
        return None
    return given.with_weights_of(network.cpu())
