"""Networks that a recipe describes, with fresh weights."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field

from gancompress.errors import ConfigError
from gancompress.methods.discriminators import DiscriminatorInput
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import MEASURED
from gancompress.networks.image_options import ImageOptions
from gancompress.networks.registry import architecture_of, find_network
from gancompress.tasks import Task


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

    def fresh_discriminator(self, seed: int, given: DiscriminatorInput) -> Generator:
        """Return the network as a discriminator of some input, with fresh weights.

        Raises:
            ConfigError: Its options do not fit the task.
            InputSizeError: The images are too small for it.
        """
        discriminator = self.fresh(seed, in_channels=given.channels)
        discriminator.architecture.check_size(given.size)
        return discriminator


PATCHGAN = NetworkOptions(family="patchgan")
