"""Adaptive augmentation of the discriminator's images, with a probability that follows its overfitting.

Source: Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020, section 3; of its
transformations the flips, whole-pixel translations and colours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from gancompress.losses import sum_over_processes
from gancompress.options import Options

Share = Annotated[float, Field(ge=0, le=1)]


class AugmentationOptions(Options):
    """Strength of the adaptive augmentation.

    Attributes:
        target: Mean sign of the discriminator's logits of real images above which it counts as overfitting.
        images_to_full: Images in which the probability can rise from 0 to 1.
        every: Steps between changes of the probability.
        first: Initial probability; it is constant if ``images_to_full`` is 0.
    """

    target: Share = 0.6
    images_to_full: Annotated[int, Field(ge=0)] = 500_000
    every: Annotated[int, Field(ge=1)] = 4
    first: Share = 0.0


class AdaptiveAugmentation:
    """Random transformations of images and their adaptive probability."""

    def __init__(self, options: AugmentationOptions) -> None:
        self.options = options
        self.probability = options.first
        self._signs = torch.zeros(2)

    def __call__(self, images: Tensor) -> Tensor:
        """Apply each transformation to each image [b, c, h, w] in [-1, 1] with the current probability."""
        for transformation in TRANSFORMATIONS:
            chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < self.probability
            images = torch.where(chosen, transformation(images), images)
        return images

    def observe(self, logits: Tensor, step: int, batch_size: int) -> None:
        """Count the signs of logits of real images in all processes, and update the probability at its interval.

        Args:
            logits: Logits of any shape.
            step: Number of this step.
            batch_size: Images of a step.
        """
        signs = logits.detach().float().sign()
        self._signs += sum_over_processes(torch.stack([signs.sum(), signs.new_tensor(signs.numel())])).cpu()
        if (step + 1) % self.options.every or not self.options.images_to_full:
            return
        leaning = float(self._signs[0] / self._signs[1])
        change = batch_size * self.options.every / self.options.images_to_full
        self.probability += change if leaning > self.options.target else -change
        self.probability = min(1.0, max(0.0, self.probability))
        self._signs = torch.zeros(2)

    def memory(self) -> Tensor:
        """Return the state that the next step depends on."""
        return torch.cat([torch.tensor([self.probability], dtype=torch.float64), self._signs.double()])

    def remember(self, memory: Tensor) -> None:
        """Restore what `memory` returned."""
        self.probability, self._signs = float(memory[0]), memory[1:].float().cpu()


def flip(images: Tensor) -> Tensor:
    """Mirror images horizontally."""
    return images.flip(-1)


def translate(images: Tensor) -> Tensor:
    """Shift each image by up to an eighth of its size along both axes; mirrored pixels fill the edges."""
    batch_size, _, height, width = images.shape

    def places(size: int) -> Tensor:
        reach = size // 8
        moved = torch.randint(-reach, reach + 1, (batch_size, 1), device=images.device)
        places = (torch.arange(size, device=images.device) + moved).abs()
        return torch.where(places >= size, 2 * size - 2 - places, places)

    rows, columns = places(height)[:, None, :, None], places(width)[:, None, None, :]
    moved = images.gather(2, rows.expand_as(images))
    return moved.gather(3, columns.expand_as(images))


def brightness(images: Tensor) -> Tensor:
    """Add N(0, 0.2) to the brightness of each image."""
    return images + 0.2 * _normal(images)


def contrast(images: Tensor) -> Tensor:
    """Multiply each image by a factor with logarithm N(0, 0.5 log 2)."""
    return images * torch.exp2(0.5 * _normal(images))


def saturation(images: Tensor) -> Tensor:
    """Multiply each pixel's distance to its grey by a factor with logarithm N(0, log 2)."""
    grey = images.mean(1, keepdim=True)
    return grey + (images - grey) * torch.exp2(_normal(images))


TRANSFORMATIONS: tuple[Callable[[Tensor], Tensor], ...] = (flip, translate, brightness, contrast, saturation)


def _normal(images: Tensor) -> Tensor:
    return torch.randn(len(images), 1, 1, 1, device=images.device, dtype=images.dtype)
