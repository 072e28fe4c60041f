"""Projection of images to the latents that reproduce them best.

Source: Abdal et al., Image2StyleGAN, ICCV 2019, section 5; Liu et al., Content-Aware GAN Compression, CVPR 2021,
section 4.3, which uses it to evaluate compressed generators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gancompress.evaluation.latent.options import ProjectionOptions
from gancompress.evaluation.latent.path_length import Distance
from gancompress.evaluation.latent.space import LatentSpace, full_float, seen

NUM_FOR_MEAN = 4096
"""Number of noise samples whose mean style is the start of every projection."""


@dataclass(frozen=True)
class Projected:
    """Result of a projection.

    Attributes:
        images: Images [b, c, h, w], about in [-1, 1].
        latents: Styles [b, num_styles, latent_size] (W+); noise [b, latent_size] for a generator without styles.
        noise: Noise maps [b, num_noise], if they were optimized.
    """

    images: Tensor
    latents: Tensor
    noise: Tensor | None


def project(
    space: LatentSpace,
    targets: Tensor,
    distance: Distance,
    options: ProjectionOptions,
    classes: Tensor | None = None,
) -> Projected:
    """Find the latents of images. Each image is optimized independently of its batch.

    Args:
        space: The generator.
        targets: Images [b, 3, h, w] in [-1, 1] of the generator's size.
        distance: Differentiable perceptual distance.
        options: Options of the optimization.
        classes: Their one-hot classes [b, num_classes], which a generator without styles gets after the noise.
    """
    if options.optimizer == "lbfgs" and len(targets) > 1:
        rows = [slice(row, row + 1) for row in range(len(targets))]
        found = [project(space, targets[r], distance, options, None if classes is None else classes[r]) for r in rows]
        noise = None if found[0].noise is None else torch.cat([each.noise for each in found if each.noise is not None])
        images, latents = (torch.cat([getattr(each, part) for each in found]) for part in ("images", "latents"))
        return Projected(images, latents, noise)
    with torch.enable_grad(), full_float(space.device):
        return _Search(space, space.send(targets), distance, options, classes).run()


class _Search:
    """Optimization of the latents of one batch."""

    def __init__(
        self,
        space: LatentSpace,
        targets: Tensor,
        distance: Distance,
        options: ProjectionOptions,
        classes: Tensor | None,
    ) -> None:
        self._space, self._targets, self._distance, self._options = space, targets, distance, options
        self._classes = None if classes is None or space.mapping is not None else space.send(classes)
        self._latents = _start(space, len(targets)).requires_grad_()
        self._noise: Tensor | None = None
        if options.noise_maps and space.num_noise:
            assert space.own_noise is not None
            self._noise = space.own_noise.repeat(len(targets), 1).requires_grad_()
        self._free = [self._latents, *([] if self._noise is None else [self._noise])]

    def run(self) -> Projected:
        """Run all steps of the optimizer."""
        steps = {"adam": self._adam, "lbfgs": self._lbfgs}[self._options.optimizer]
        steps(self._options.num_steps)
        with torch.no_grad():
            noise = None if self._noise is None else self._noise.detach()
            return Projected(self._images(), self._latents.detach(), noise)

    def _adam(self, num_steps: int) -> None:
        rate = self._options.learning_rate
        optimizer = torch.optim.Adam(self._free, rate)
        for step in range(num_steps):
            optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / num_steps)) / 2
            optimizer.step(self._slopes)  # type: ignore[arg-type]

    def _lbfgs(self, num_steps: int) -> None:
        torch.optim.LBFGS(self._free, max_iter=num_steps, line_search_fn="strong_wolfe").step(self._slopes)  # type: ignore[arg-type]

    def _slopes(self) -> Tensor:
        """Compute gradients and return the sum of the images' losses; each latent gets those of its own image."""
        images = self._images()
        loss = (images - self._targets).square().mean((1, 2, 3)).sum()
        if self._options.perceptual:
            loss = loss + self._options.perceptual * self._distance(seen(images), seen(self._targets)).sum()
        for each in self._free:
            each.grad = None
        loss.backward(inputs=self._free)
        return loss.detach()

    def _images(self) -> Tensor:
        given = self._latents if self._classes is None else torch.cat([self._latents, self._classes], 1)
        return self._space.draw(given, self._noise)


def _start(space: LatentSpace, count: int) -> Tensor:
    """Return the average style for every layer; for a generator without styles zero noise."""
    if space.mapping is None:
        return space.send(torch.zeros(count, space.latent_size))
    noise = torch.randn(NUM_FOR_MEAN, space.latent_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mean = space.mapping(space.send(noise)).mean(0)
    return mean.expand(count, space.num_styles, -1).clone()
