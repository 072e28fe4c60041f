"""Rank correlation of two measurements of the same items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gancompress.evaluation.bootstrap import NUM_RESAMPLES, SEED, percentiles

Numbers = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class RankAgreement:
    """Two rank correlations of the same pairs.

    Attributes:
        spearman: Correlation of the ranks, in [-1, 1].
        kendall: Tau-b, in [-1, 1].
        spearman_interval: 95 % interval over the choice of pairs.
        kendall_interval: 95 % interval over the choice of pairs.
        num_pairs: Number of pairs.
    """

    spearman: float
    kendall: float
    spearman_interval: tuple[float, float]
    kendall_interval: tuple[float, float]
    num_pairs: int

    def __str__(self) -> str:
        """Return both correlations with their intervals."""
        parts = (
            ("Spearman", self.spearman, self.spearman_interval),
            ("Kendall", self.kendall, self.kendall_interval),
        )
        words = ", ".join(f"{name} {value:.2f} [{low:.2f}, {high:.2f}]" for name, value, (low, high) in parts)
        return f"{words} over {self.num_pairs} pairs"


def rank_agreement(a: Numbers, b: Numbers, num_resamples: int = NUM_RESAMPLES, seed: int = SEED) -> RankAgreement:
    """Return rank correlations with percentile intervals over resampled pairs.

    Args:
        a: One measurement of at least three items.
        b: The other measurement, in the same order.
        num_resamples: Number of resamples.
        seed: Seed of the resampling; equal inputs give equal intervals.

    Returns:
        The correlations; not-a-number if one side is constant. Constant resamples do not count for the intervals.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    first, second = (np.asarray(values, dtype=float) for values in (a, b))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(first), (num_resamples, len(first)), generator=generator).numpy()

    def interval(of: Callable[[Numbers, Numbers], float]) -> tuple[float, float]:
        return percentiles(torch.tensor([of(first[which], second[which]) for which in drawn]))

    return RankAgreement(
        rank_correlation(first, second),
        kendall_tau(first, second),
        interval(rank_correlation),
        interval(kendall_tau),
        len(first),
    )


def rank_correlation(a: Numbers, b: Numbers) -> float:
    """Return Spearman's rank correlation; ties share their mean rank. Not-a-number if one side is constant."""
    ranks = [_ranks(np.asarray(values, dtype=float)) for values in (a, b)]
    first, second = (rank - rank.mean() for rank in ranks)
    return _normed(float(first @ second), float(first @ first), float(second @ second))


def kendall_tau(a: Numbers, b: Numbers) -> float:
    """Return Kendall's tau-b. Not-a-number if one side is constant.

    Source: Kendall, The Treatment of Ties in Ranking Problems, Biometrika 1945.
    """
    first, second = (np.sign(np.subtract.outer(values, values)).ravel() for values in (np.asarray(a), np.asarray(b)))
    return _normed(float(first @ second), float(first @ first), float(second @ second))


def _normed(product: float, square: float, other_square: float) -> float:
    norm = float(np.sqrt(square * other_square))
    return product / norm if norm else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
