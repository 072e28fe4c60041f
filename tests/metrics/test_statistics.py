from __future__ import annotations

import numpy as np
import pytest
import torch

from gancompress.errors import MetricError
from gancompress.metrics import FeatureSet, Statistics

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


def test_processes_equal_one():
    whole, first, second = FeatureSet(), FeatureSet(), FeatureSet()
    whole.add(FEATURES.float())
    first.add(FEATURES[:20].float())
    second.add(FEATURES[20:].float())
    first.merge(second)
    first.merge(FeatureSet())
    assert first.count == whole.count == 50
    assert first.features is not None
    assert first.features.equal(FEATURES.float())
    assert first.statistics is not None
    assert whole.statistics is not None
    assert torch.allclose(first.statistics.scatter, whole.statistics.scatter)


def test_features_are_dropped_once_they_save_nothing():
    features = FeatureSet(keep=False)
    features.add(FEATURES[:6])
    assert features.features is not None
    features.add(FEATURES[6:7])
    assert features.features is None
    assert features.count == 7


def test_tensors_and_back():
    features = FeatureSet()
    features.add(FEATURES)
    again = FeatureSet.from_tensors(features.tensors())
    assert again.count == 50
    assert again.features is not None
    assert again.features.equal(FEATURES.float())


def test_errors():
    with pytest.raises(MetricError, match="got features of 7 and 6 numbers"):
        Statistics.of(FEATURES).merge(Statistics.of(FEATURES[:, :6]))
    with pytest.raises(MetricError, match="got 1 image, expected at least two"):
        Statistics.of(FEATURES[:1]).gaussian()
    with pytest.raises(MetricError, match="features: got no images"):
        FeatureSet().tensors()
