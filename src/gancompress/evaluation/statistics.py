"""Mean and covariance of features, accumulated over batches and processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gancompress.errors import MetricError


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance, in float64 on the CPU.

    Attributes:
        mean: Shape ``(d,)``.
        covariance: Shape ``(d, d)``.
        count: Number of vectors; None if it is not known.
    """

    mean: Tensor
    covariance: Tensor
    count: int | None = None


@dataclass(frozen=True)
class Statistics:
    """Number, mean and scatter of vectors, in float64 on the CPU.

    Attributes:
        count: Number of vectors.
        mean: Their mean, shape ``(d,)``.
        scatter: Sum of the outer products of their deviations from the mean, shape ``(d, d)``.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Statistics:
        """Return the statistics of features [n, d]."""
        features = features.detach().double().cpu()
        mean = features.mean(0)
        centered = features - mean
        return cls(len(features), mean, centered.T @ centered)

    def merge(self, other: Statistics) -> Statistics:
        """Return the statistics of both sets of vectors together.

        Raises:
            MetricError: The vectors differ in length.

        Source: Chan et al., Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979, eq. 2.1.
        """
        if self.mean.shape != other.mean.shape:
            raise MetricError(
                f"statistics: got features of {len(self.mean)} and {len(other.mean)} numbers, expected as many; "
                "merge statistics of one network"
            )
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        between = torch.outer(delta, delta) * (self.count * other.count / count)
        return Statistics(count, mean, self.scatter + other.scatter + between)

    def gaussian(self) -> Gaussian:
        """Return the mean and the unbiased covariance.

        Raises:
            MetricError: There are fewer than two vectors.
        """
        if self.count < 2:
            raise MetricError(
                f"statistics: got {self.count} image, expected at least two for a covariance; give more images"
            )
        return Gaussian(self.mean, self.scatter / (self.count - 1), self.count)
