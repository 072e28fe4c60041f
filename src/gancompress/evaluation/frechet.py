"""Frechet distance between two sets of features, modelled as Gaussians.

The usual computation of its cross term, a matrix square root of the product of two covariances, takes more than ten
seconds at 2048 features and can be inaccurate. With any factors of the covariances, ``S = F.T @ F``, the term is

    trace((S1 @ S2) ** 0.5) = sum of the singular values of F1 @ F2.T,

because ``S1 @ S2`` and ``(F1 @ F2.T) @ (F1 @ F2.T).T`` have the same eigenvalues. Centred features are such a factor,
with as many rows as there are images; so the smaller of images and features determines the cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.evaluation.statistics import Gaussian, Statistics


@dataclass(frozen=True)
class _Side:
    """Statistics of one set of images for a Frechet distance.

    Attributes:
        mean: Shape ``(d,)``.
        trace: Trace of the covariance.
        matrix: A factor ``F`` of the covariance ``F.T @ F``, shape ``(n, d)``, or the covariance itself.
        is_factor: Whether ``matrix`` is a factor.
    """

    mean: Tensor
    trace: Tensor
    matrix: Tensor
    is_factor: bool


class FrechetReference:
    """Reference side of many Frechet distances, whose factor is computed once."""

    def __init__(self, images: Gaussian | Tensor) -> None:
        """Factor the covariance.

        Args:
            images: Mean and covariance of the reference images, or all their features [n, d]. If there are fewer images
                than features, features save an eigenvalue decomposition.

        Raises:
            MetricError: A feature is not a finite number, or there are fewer than two images.
        """
        self._side = _side(images)
        self._factor = self._side.matrix if self._side.is_factor else _eigen_factor(self._side.matrix)

    def distance(self, images: Gaussian | Tensor) -> float:
        """Return the Frechet distance of another set to this one.

        Args:
            images: Mean and covariance of the other images, or all their features, which save time if there are fewer
                images than features.

        Returns:
            ``|m1 - m2|**2 + trace(S1 + S2 - 2 (S1 S2)**0.5)``.

        Raises:
            MetricError: The features differ in length from the reference's or are not finite, or there are too few
                images.

        Source: Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017, eq. 6.
        """
        one, other = self._side, _side(images)
        if one.mean.shape != other.mean.shape:
            raise MetricError(
                f"frechet distance: got features of {len(other.mean)} numbers against {len(one.mean)}, "
                "expected as many; take both from one network"
            )
        if other.is_factor:
            cross = torch.linalg.svdvals(other.matrix @ self._factor.T).sum()
        else:
            product = self._factor @ other.matrix @ self._factor.T
            cross = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
        return float((one.mean - other.mean).square().sum() + one.trace + other.trace - 2 * cross)


def _side(images: Gaussian | Tensor) -> _Side:
    if isinstance(images, Tensor) and 2 <= len(images) < images.shape[1]:
        features = _finite(images.double().cpu())
        mean = features.mean(0)
        factor = (features - mean) / (len(features) - 1) ** 0.5
        return _Side(mean, factor.square().sum(), factor, is_factor=True)
    gaussian = Statistics.of(images).gaussian() if isinstance(images, Tensor) else images
    covariance = _finite(gaussian.covariance)
    return _Side(_finite(gaussian.mean), covariance.trace(), covariance, is_factor=False)


def _eigen_factor(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    # Directions without variance add nothing to the cross term; dropping them also drops their rounding errors.
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return (vectors[:, kept] * values[kept].sqrt()).T


def _finite(numbers: Tensor) -> Tensor:
    if not numbers.isfinite().all():
        raise MetricError(
            "frechet distance: got features that are not finite, expected numbers; look at the generated images: a "
            "network that diverged gives such"
        )
    return numbers
