"""From scores to an order of channels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def by_importance(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Channels of every group, the most important first; of equal ones the earlier first.

    Args:
        scores: Importance of each channel, shape ``(size,)`` for each group.

    Returns:
        Channel numbers, shape ``(size,)`` for each group, as `gancompress.channels.reorder` takes them.
    """
    return {group: score.argsort(descending=True, stable=True) for group, score in scores.items()}
