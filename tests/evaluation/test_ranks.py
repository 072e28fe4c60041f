"""Rank correlations, against closed forms and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from gancompress.evaluation import kendall_tau, rank_agreement, rank_correlation


def test_rank_correlations_in_closed_form():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 25]) == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    assert kendall_tau([1, 2, 3, 4], [10, 20, 30, 25]) == pytest.approx(4 / 6)  # 5 pairs agree, 1 does not
    for of in (rank_correlation, kendall_tau):
        assert of([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
        assert of([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
        assert math.isnan(of([1, 2, 3], [5, 5, 5]))


@pytest.mark.parametrize("seed", range(3))
def test_rank_correlations_are_those_of_scipy(seed):
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 6, 15), random.normal(size=15)  # the first with ties
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)


def test_intervals_cover_the_truth_and_narrow_with_more_pairs():
    random = np.random.default_rng(0)
    rho = 0.5
    truth = 6 / math.pi * math.asin(rho / 2)  # Spearman's correlation of a bivariate normal distribution
    covered, lengths = 0, {}
    for num_pairs in (12, 48):
        for _ in range(20):
            a, b = random.multivariate_normal([0, 0], [[1, rho], [rho, 1]], num_pairs).T
            low, high = rank_agreement(a, b, num_resamples=200).spearman_interval
            covered += low <= truth <= high
            lengths.setdefault(num_pairs, []).append(high - low)
    assert covered >= 34  # of 40; a percentile interval of so few pairs is a little too short
    assert np.mean(lengths[48]) < 0.6 * np.mean(lengths[12])


def test_agreement_in_words_is_reproducible():
    agreement = rank_agreement([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])
    assert agreement == rank_agreement([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])
    assert str(agreement).startswith("Spearman 0.90 [")
    assert str(agreement).endswith("1.00] over 5 pairs")
