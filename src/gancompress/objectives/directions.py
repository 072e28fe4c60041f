"""Random steps of the latents of a batch, the same for teacher and student."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.networks.styles import StyledGenerator
from gancompress.tasks import LatentTask, Task


class LatentDirections:
    """Random steps of a fixed length: in the style of a StyleGAN2, in the input noise of any other network."""

    def __init__(self, length: float, task: Task) -> None:
        """Take the length of a step.

        Raises:
            ConfigError: The task has no latents.
        """
        if not isinstance(task, LatentTask):
            raise ConfigError(f"latent_directions: got the task '{task.name}', expected 'latent': images from noise")
        self._length, self._size = length, task.latent_size

    def draw(self, given: Tensor) -> Tensor:
        """Draw a random step for each image, [b, latent_size], from torch's global generator.

        Args:
            given: Inputs of the generators, [b, latent_size + classes].
        """
        return self._length * F.normalize(torch.randn_like(given[:, : self._size]), dim=1)

    def moved(self, network: nn.Module, given: Tensor, steps: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the input and keyword arguments with which a network generates from shifted latents."""
        if isinstance(network, StyledGenerator):
            return given, {"offset": steps}
        return given + F.pad(steps, (0, given.shape[1] - self._size)), {}
