"""Channel order from importance scores."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def by_importance(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sort the channels of every group by importance, highest first; ties keep their order.

    Args:
        scores: Importance of each channel, shape ``(size,)`` for each group.

    Returns:
        Channel numbers, shape ``(size,)`` for each group, for `gancompress.channels.reorder`.
    """
    return {group: score.argsort(descending=True, stable=True) for group, score in scores.items()}
