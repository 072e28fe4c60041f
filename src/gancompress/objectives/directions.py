"""Moving the latents of a batch, alike for every network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.models.styles import StyledGenerator
from gancompress.tasks import LatentTask, Task


class LatentDirections:
    """Steps of one length in random directions: of the style of a StyleGAN2, and of the noise of any other network."""

    def __init__(self, length: float, task: Task) -> None:
        """Take the length.

        Raises:
            ConfigError: The task has no latents.
        """
        if not isinstance(task, LatentTask):
            raise ConfigError(f"latent_directions: got the task '{task.name}', expected 'latent': images from noise")
        self._length, self._size = length, task.latent_size

    def draw(self, given: Tensor) -> Tensor:
        """A step for each image, [b, latent_size], drawn from torch's global generator.

        Args:
            given: Inputs of the generators, [b, latent_size + classes].
        """
        return self._length * F.normalize(torch.randn_like(given[:, : self._size]), dim=1)

    def moved(self, network: nn.Module, given: Tensor, steps: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """What a network is given, as input and keywords, for its images to move."""
        if isinstance(network, StyledGenerator):
            return given, {"offset": steps}
        return given + F.pad(steps, (0, given.shape[1] - self._size)), {}
