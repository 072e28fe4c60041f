"""Noise of a search's proxy: the candidates that its images cannot distinguish from the chosen one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from gancompress.architecture_search import Candidate
from gancompress.evaluation import bootstrap_interval

NUM_COMPARED = 10
"""Number of candidates compared with the chosen one: the next best ones."""


@dataclass(frozen=True)
class Difference:
    """Difference between a candidate's metric and the chosen one's, on the same images.

    Attributes:
        plan: The candidate.
        value: Its metric minus that of the chosen one.
        low: Lower end of the 95 % interval over the choice of images.
        high: Upper end.
    """

    plan: str
    value: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """True if the interval excludes 0."""
        return self.low > 0 or self.high < 0


def differences(
    chosen: Candidate, others: Sequence[Candidate], per_image: Callable[[Candidate], Tensor | None]
) -> list[Difference] | None:
    """Return the paired differences from the chosen candidate.

    Args:
        chosen: The chosen candidate.
        others: The candidates to compare with it.
        per_image: The metric of each image, of shape ``(images,)``; None for a metric of whole sets of images.

    Returns:
        The differences in the order of the others; None for a metric of sets, or of fewer than two images.
    """
    reference = per_image(chosen)
    if reference is None or len(reference) < 2:
        return None
    found = []
    for other in others:
        values = per_image(other)
        assert values is not None  # as for the chosen one
        difference = values - reference
        interval = bootstrap_interval(difference.unsqueeze(1), lambda sums: sums[:, 0] / len(reference))
        assert interval is not None
        found.append(Difference(other.text, float(difference.mean()), *interval))
    return found
