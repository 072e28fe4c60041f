"""Metrics of the latent space of one generator, with one perceptual distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gancompress.evaluation.bootstrap import bootstrap_interval
from gancompress.evaluation.latent.morph import morph_steps
from gancompress.evaluation.latent.options import LatentMetricOptions
from gancompress.evaluation.latent.path_length import Distance, PathProtocol, path_lengths, within_percentiles
from gancompress.evaluation.latent.projection import project
from gancompress.evaluation.latent.space import LatentSpace
from gancompress.evaluation.pairs import as_network_images, psnr, stored_pairs


@dataclass(frozen=True)
class LatentMeasurement:
    """Measurement of one latent metric.

    Attributes:
        values: Values whose mean is the result, float64 [n].
        count: Number of pairs, morphs or images.
        words: Description of the settings, after the metric's description.
    """

    values: Tensor
    count: int
    words: str

    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the mean; None for fewer than two values."""
        return bootstrap_interval(self.values.unsqueeze(1), lambda sums: sums[:, 0] / len(self.values))


@dataclass
class LatentComparison:
    """Latent metrics of one generator; shared intermediate results are computed once.

    Attributes:
        space: The generator.
        distance: Differentiable perceptual distance.
        options: Numbers of samples and settings.
        real: Function that returns the real images [n, 3, h, w] to project, and their one-hot classes [n, num_classes].
        batch_size: Images at once.
    """

    space: LatentSpace
    distance: Distance
    options: LatentMetricOptions
    real: Callable[[], tuple[Tensor, Tensor]]
    batch_size: int

    def path(self, protocol: PathProtocol) -> LatentMeasurement:
        """Return the path length of a protocol."""
        o = self.options
        lengths = path_lengths(self.space, self.distance, protocol, o.num_pairs, self.batch_size, o.seed)
        return LatentMeasurement(within_percentiles(lengths), len(lengths), f"seed {o.seed}")

    def morph_step(self) -> LatentMeasurement:
        """Return the mean step of each morph."""
        return self._of_morphs(self._morphs.mean(1))

    def morph_jump(self) -> LatentMeasurement:
        """Return the largest step of each morph divided by its mean step."""
        return self._of_morphs(self._morphs.amax(1) / self._morphs.mean(1))

    def projection_psnr(self) -> LatentMeasurement:
        """Return the PSNR of each projected image."""
        return self._of_projections(psnr(*self._projected).cpu())

    def projection_distance(self) -> LatentMeasurement:
        """Return the perceptual distance of each projected image, in 8 bits."""
        images, targets = (as_network_images(each).to(self.space.device) for each in stored_pairs(*self._projected))
        with torch.no_grad():
            pairs = zip(images.split(self.batch_size), targets.split(self.batch_size), strict=True)
            return self._of_projections(torch.cat([self.distance(x, y).double().cpu() for x, y in pairs]))

    @cached_property
    def _morphs(self) -> Tensor:
        o = self.options
        return morph_steps(self.space, self.distance, o.num_morphs, o.num_morph_steps, self.batch_size, o.seed)

    @cached_property
    def _projected(self) -> tuple[Tensor, Tensor]:
        targets, classes = self.real()
        parts = zip(targets.split(self.batch_size), classes.split(self.batch_size), strict=True)
        found = [project(self.space, part, self.distance, self.options.projection, one_hot) for part, one_hot in parts]
        return torch.cat([each.images.clamp(-1, 1) for each in found]), targets.to(found[0].images)

    def _of_morphs(self, values: Tensor) -> LatentMeasurement:
        way = "along a line in W" if self.space.mapping is not None else "along an arc in Z"
        o = self.options
        return LatentMeasurement(values, len(values), f"{o.num_morph_steps} equal steps {way}, seed {o.seed}")

    def _of_projections(self, values: Tensor) -> LatentMeasurement:
        o, free = self.options.projection, "W+" if self.space.mapping is not None else "Z"
        noise = " and noise maps" if o.noise_maps and self.space.num_noise else ""
        rate = f" at {o.learning_rate:g}" if o.optimizer == "adam" else ""
        how = f"into {free}{noise}, {o.num_steps} steps of {o.optimizer}{rate}, perceptual weight {o.perceptual:g}"
        return LatentMeasurement(values, len(values), how)
