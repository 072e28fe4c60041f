from __future__ import annotations

import numpy as np
import pytest
import torch

from gancompress.errors import MetricError
from gancompress.evaluation import FeatureSet, Statistics

# A large offset with a small spread: single-pass sums of squares would lose all digits.
FEATURES = 1e6 + torch.rand(50, 7, dtype=torch.float64)


@pytest.mark.parametrize("sizes", [[50], [1, 49], [10, 1, 20, 19]])
def test_batches_equal_numpy(sizes):
    merged = None
    for batch in FEATURES.split(sizes):
        merged = Statistics.of(batch) if merged is None else merged.merge(Statistics.of(batch))
    assert merged is not None
    gaussian = merged.gaussian()
    assert gaussian.count == 50
    assert np.allclose(gaussian.mean, FEATURES.mean(0), rtol=1e-14)
    assert np.allclose(gaussian.covariance, np.cov(FEATURES.numpy(), rowvar=False), rtol=1e-7, atol=1e-9)


def test_features_are_dropped_once_they_save_nothing():
    features = FeatureSet(keep=False)
    features.add(FEATURES[:6])
    assert features.features is not None
    features.add(FEATURES[6:7])
    assert features.features is None
    assert features.count == 7


@pytest.mark.parametrize("keep", [True, False])
def test_tensors_and_back(keep):
    features = FeatureSet(keep)
    features.add(FEATURES)
    again = FeatureSet.from_tensors(features.tensors(), keep)
    assert again.count == 50
    assert (again.features is not None) == keep
    assert again.statistics.mean.equal(features.statistics.mean)
    assert again.statistics.scatter.equal(features.statistics.scatter)
    if keep:
        assert again.features.equal(FEATURES.float())


def test_statistics_are_right_however_often_features_are_folded(monkeypatch):
    monkeypatch.setattr("gancompress.evaluation.features.FOLDED_AT_ONCE", 8)
    folded = FeatureSet(keep=False)
    for batch in FEATURES[:30].split(4):
        folded.add(batch)
        assert folded.statistics.count == folded.count  # asking in between changes nothing
    for batch in FEATURES[30:].split(3):
        folded.add(batch)
    expected = Statistics.of(FEATURES.float())
    assert folded.count == 50
    assert torch.allclose(folded.statistics.mean, expected.mean, rtol=1e-14)
    assert torch.allclose(folded.statistics.scatter, expected.scatter, rtol=1e-6, atol=1e-6)


def test_errors():
    with pytest.raises(MetricError, match="got features of 7 and 6 numbers"):
        Statistics.of(FEATURES).merge(Statistics.of(FEATURES[:, :6]))
    with pytest.raises(MetricError, match="got 1 image, expected at least two"):
        Statistics.of(FEATURES[:1]).gaussian()
    with pytest.raises(MetricError, match="features: got no images"):
        FeatureSet().tensors()
    features = FeatureSet()
    features.add(FEATURES)
    with pytest.raises(MetricError, match="features: got 6 numbers after 7"):
        features.add(FEATURES[:, :6])
    with pytest.raises(MetricError, match=r"got tensors \{'mean': \(7,\)\}, expected features \[n, d\], or count"):
        FeatureSet.from_tensors({"mean": torch.zeros(7)})
