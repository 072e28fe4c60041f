"""Bootstrap intervals over images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LEVEL = 0.95
NUM_RESAMPLES = 1000
SEED = 0


def resample_counts(num_images: int, num_resamples: int = NUM_RESAMPLES, seed: int = SEED) -> Tensor:
    """Return the counts of each image in bootstrap resamples, float64 of shape ``(resamples, images)``."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(num_images, (num_resamples, num_images), generator=generator)
    return torch.zeros(num_resamples, num_images, dtype=torch.float64).scatter_add_(
        1, draws, torch.ones(1, 1, dtype=torch.float64).expand_as(draws)
    )


def bootstrap_interval(
    per_image: Tensor,
    statistic: Callable[[Tensor], Tensor],
    num_resamples: int = NUM_RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float] | None:
    """Return the percentile interval (95 %) of a statistic that depends on the images through a sum.

    Args:
        per_image: Summand of each image, shape ``(images, k)``.
        statistic: Function from sums of shape ``(resamples, k)`` to values of shape ``(resamples,)``.
        num_resamples: Number of resamples.
        seed: Seed of the resampling; equal inputs give equal intervals.

    Returns:
        Lower and upper end; None for fewer than two images.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if len(per_image) < 2:
        return None
    values = statistic(resample_counts(len(per_image), num_resamples, seed) @ per_image.double())
    return percentiles(values)


def percentiles(values: Tensor) -> tuple[float, float]:
    """Return the two ends between which 95 % of the values lie."""
    tail = (1 - LEVEL) / 2
    low, high = values.double().nanquantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high
