"""Kernel distance: the unbiased squared maximum mean discrepancy of two sets of features."""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.evaluation.bootstrap import SEED, percentiles, resample_counts

SUBSET_SIZE = 1000
NUM_SUBSETS = 100
NUM_RESAMPLES = 500
MAX_IMAGES = 4000
"""The most images per side, which bounds the kernel matrices; larger sets are subsampled at random."""


def kernel_distance(features: Tensor, reference: Tensor, seed: int = SEED) -> tuple[float, tuple[float, float]]:
    """Return the mean over subsets of the unbiased estimate with a cubic polynomial kernel, and its interval.

    Subsets have 1000 images, or all if there are fewer. The interval (95 %) comes from resampling the images; like the
    estimate, resamples exclude pairs of one image with itself, so both are unbiased.

    Args:
        features: [n, d], n at least 2.
        reference: [m, d], m at least 2.
        seed: Seed of subsets and resamples.

    Returns:
        The estimate, which may be below 0, and its interval.

    Raises:
        MetricError: A side has fewer than two images, or the features differ in length or are not finite.

    Source: Binkowski et al., Demystifying MMD GANs, ICLR 2018, section 4 and appendix D; Gretton et al., A Kernel
    Two-Sample Test, JMLR 2012, eq. 3.
    """
    _check(features, reference)
    generator = torch.Generator().manual_seed(seed)
    x, y = _choose(features, generator), _choose(reference, generator)
    xx, yy, xy = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    subsets = (_subsets(len(x), generator), _subsets(len(y), generator))
    resamples = (resample_counts(len(x), NUM_RESAMPLES, seed), resample_counts(len(y), NUM_RESAMPLES, seed + 1))
    value = _squared_mmd(xx, yy, xy, *subsets).mean()
    return float(value), percentiles(_squared_mmd(xx, yy, xy, *resamples))


def _squared_mmd(xx: Tensor, yy: Tensor, xy: Tensor, counts_x: Tensor, counts_y: Tensor) -> Tensor:
    """Return unbiased estimates for several selections of images, each given by the count of every image."""
    cross = ((counts_x @ xy) * counts_y).sum(1) / (counts_x.sum(1) * counts_y.sum(1))
    return _mean_off_diagonal(xx, counts_x) + _mean_off_diagonal(yy, counts_y) - 2 * cross


def _mean_off_diagonal(kernel: Tensor, counts: Tensor) -> Tensor:
    squares = counts.square()
    total = ((counts @ kernel) * counts).sum(1) - squares @ kernel.diagonal()
    return total / (counts.sum(1).square() - squares.sum(1))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _subsets(num_images: int, generator: torch.Generator) -> Tensor:
    if num_images <= SUBSET_SIZE:
        return torch.ones(NUM_SUBSETS, num_images, dtype=torch.float64)
    counts = torch.zeros(NUM_SUBSETS, num_images, dtype=torch.float64)
    for row in counts:
        row[torch.randperm(num_images, generator=generator)[:SUBSET_SIZE]] = 1
    return counts


def _choose(features: Tensor, generator: torch.Generator) -> Tensor:
    features = features.double().cpu()
    if len(features) > MAX_IMAGES:
        features = features[torch.randperm(len(features), generator=generator)[:MAX_IMAGES]]
    return features


def _check(features: Tensor, reference: Tensor) -> None:
    if min(len(features), len(reference)) < 2 or features.shape[1:] != reference.shape[1:]:
        raise MetricError(
            f"kernel distance: got features of shapes {tuple(features.shape)} and {tuple(reference.shape)}, expected "
            "at least two images a side and one length; give more images, and take both from one network"
        )
    if not (features.isfinite().all() and reference.isfinite().all()):
        raise MetricError(
            "kernel distance: got features that are not finite, expected numbers; look at the generated images: a "
            "network that diverged gives such"
        )
