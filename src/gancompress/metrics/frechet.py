"""Frechet distance between two sets of features, each taken as a Gaussian.

The usual way to its cross term, a general matrix square root of the product of two covariances, costs ten seconds and
more at 2048 features and can go wrong. With any factors of the covariances, ``S = F.T @ F``, the term is

    trace((S1 @ S2) ** 0.5) = sum of the singular values of F1 @ F2.T,

because ``S1 @ S2`` and ``(F1 @ F2.T) @ (F1 @ F2.T).T`` have the same eigenvalues. Centred features are such a factor,
with as many rows as there are images; so it is the smaller of images and features that sets the cost.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.statistics import Gaussian


class FrechetReference:
    """One side of many distances, with the work that they share done once."""

    def __init__(self, gaussian: Gaussian, features: Tensor | None = None) -> None:
        """Factors the covariance.

        Args:
            gaussian: Of the reference images.
            features: All their features [n, d], where they were kept. With fewer images than features they are the
                factor, and save an eigenvalue decomposition.

        Raises:
            MetricError: A feature is not a finite number.
        """
        self.gaussian = _finite(gaussian)
        self._trace = float(gaussian.covariance.trace())
        few = _few(gaussian, features)
        self._factor = _eigen_factor(gaussian.covariance) if few is None else _centered(few, gaussian)

    def distance(self, gaussian: Gaussian, features: Tensor | None = None) -> float:
        """Frechet distance of another set to this one.

        Args:
            gaussian: Of the other images.
            features: All their features, where they were kept; they save time where there are fewer images than
                features.

        Returns:
            ``|m1 - m2|**2 + trace(S1 + S2 - 2 (S1 S2)**0.5)``.

        Raises:
            MetricError: The features differ in length from the reference's, or are not finite.

        Source: Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017, eq. 6.
        """
        if self.gaussian.mean.shape != gaussian.mean.shape:
            raise MetricError(
                f"frechet distance: got features of {len(gaussian.mean)} numbers against {len(self.gaussian.mean)}, "
                "expected as many; take both from one network"
            )
        _finite(gaussian)
        few = _few(gaussian, features)
        if few is None:
            product = self._factor @ gaussian.covariance @ self._factor.T
            cross = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
        else:
            cross = torch.linalg.svdvals(_centered(few, gaussian) @ self._factor.T).sum()
        means = (self.gaussian.mean - gaussian.mean).square().sum()
        return float(means) + self._trace + float(gaussian.covariance.trace()) - 2 * float(cross)


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """Frechet distance between two Gaussians. Raises MetricError as `FrechetReference.distance`."""
    return FrechetReference(first).distance(second)


def _few(gaussian: Gaussian, features: Tensor | None) -> Tensor | None:
    """The features, where they are the cheaper factor of the covariance."""
    return features if features is not None and len(features) < len(gaussian.mean) else None


def _centered(features: Tensor, gaussian: Gaussian) -> Tensor:
    return (features.double().cpu() - gaussian.mean) / (len(features) - 1) ** 0.5


def _eigen_factor(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    # Directions without variance add nothing to the cross term; leaving them out also leaves their rounding out.
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return (vectors[:, kept] * values[kept].sqrt()).T


def _finite(gaussian: Gaussian) -> Gaussian:
    if not (gaussian.covariance.isfinite().all() and gaussian.mean.isfinite().all()):
        raise MetricError(
            "frechet distance: got features that are not finite, expected numbers; look at the generated images: a "
            "network that diverged gives such"
        )
    return gaussian
