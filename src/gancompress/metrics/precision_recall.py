"""Precision and recall: how many generated images look real, and how much of the real variety is generated."""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.errors import MetricError

NUM_NEIGHBORS = 3
BLOCK_ROWS = 1024


def precision_recall(features: Tensor, reference: Tensor, num_neighbors: int = NUM_NEIGHBORS) -> tuple[Tensor, Tensor]:
    """Whether each image lies on the other set's manifold: in the ball of one of its images to its k-th neighbour.

    Args:
        features: Of generated images, [n, d].
        reference: Of real images, [m, d].
        num_neighbors: k.

    Returns:
        For each generated image whether it is among the real ones (their mean is the precision), shape ``(n,)``, and
        for each real image whether it is among the generated ones (their mean is the recall), shape ``(m,)``; float64.

    Raises:
        MetricError: A side has no more than k images, or the features differ in length.

    Source: Kynkaanniemi et al., Improved Precision and Recall Metric, NeurIPS 2019, eq. 1-2.
    """
    if min(len(features), len(reference)) <= num_neighbors or features.shape[1:] != reference.shape[1:]:
        raise MetricError(
            f"precision and recall: got features of shapes {tuple(features.shape)} and {tuple(reference.shape)}, "
            f"expected more than {num_neighbors} images a side and one length; give more images, and "
            "take both from one network"
        )
    x, y = features.double().cpu(), reference.double().cpu()
    return _inside(x, y, _radii(y, num_neighbors)), _inside(y, x, _radii(x, num_neighbors))


def _radii(points: Tensor, num_neighbors: int) -> Tensor:
    # The nearest of all is the point itself.
    return torch.cat(
        [torch.cdist(rows, points).kthvalue(num_neighbors + 1, dim=1).values for rows in points.split(BLOCK_ROWS)]
    )


def _inside(points: Tensor, centers: Tensor, radii: Tensor) -> Tensor:
    blocks = [(torch.cdist(rows, centers) <= radii).any(1) for rows in points.split(BLOCK_ROWS)]
    return torch.cat(blocks).double()
