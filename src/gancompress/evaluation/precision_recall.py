"""Precision and recall: the share of realistic generated images, and the share of real images that are covered."""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.errors import MetricError

NUM_NEIGHBORS = 3
BLOCK_ROWS = 1024


def precision_recall(features: Tensor, reference: Tensor, num_neighbors: int = NUM_NEIGHBORS) -> tuple[Tensor, Tensor]:
    """Test each image for membership in the other set's manifold, the balls from its images to their k-th neighbours.

    Args:
        features: Features of generated images, [n, d].
        reference: Features of real images, [m, d].
        num_neighbors: k.

    Returns:
        For each generated image 1 if it is among the real ones, else 0 (their mean is the precision), shape ``(n,)``;
        for each real image 1 if it is among the generated ones, else 0 (their mean is the recall), shape ``(m,)``.
        Both are float64.

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
    # The nearest neighbour is the point itself.
    return torch.cat(
        [torch.cdist(rows, points).kthvalue(num_neighbors + 1, dim=1).values for rows in points.split(BLOCK_ROWS)]
    )


def _inside(points: Tensor, centers: Tensor, radii: Tensor) -> Tensor:
    blocks = [(torch.cdist(rows, centers) <= radii).any(1) for rows in points.split(BLOCK_ROWS)]
    return torch.cat(blocks).double()
