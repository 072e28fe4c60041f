from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from gancompress.errors import MetricError
from gancompress.evaluation import FrechetReference, Statistics, kernel_distance, precision_recall


def correlated(num_images: int, num_features: int, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(num_features, num_features, generator=generator) / num_features**0.5
    return torch.randn(num_images, num_features, generator=generator) @ mixing + shift


def of(features: torch.Tensor):
    return Statistics.of(features).gaussian()


def by_general_square_root(x: torch.Tensor, y: torch.Tensor) -> float:
    linalg = pytest.importorskip("scipy.linalg", reason="needs scipy")
    a, b = x.double().numpy(), y.double().numpy()
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    cross = linalg.sqrtm(first @ second).real
    means = a.mean(0) - b.mean(0)
    return float(means @ means + np.trace(first + second - 2 * cross))


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 32), (300, 40, 64), (40, 300, 64), (50, 30, 64)])
@pytest.mark.parametrize("kept", [True, False])
def test_frechet_equals_the_general_square_root(n, m, d, kept):
    x, y = correlated(n, d), correlated(m, d, shift=0.3, seed=1)
    reference = FrechetReference(y if kept else of(y))
    # The general root loses digits where a covariance is singular.
    tolerance = 1e-6 if min(n, m) > d else 1e-4
    assert reference.distance(x if kept else of(x)) == pytest.approx(by_general_square_root(x, y), rel=tolerance)


@pytest.mark.parametrize(("n", "m"), [(300, 200), (300, 40), (40, 30)])
def test_all_ways_to_the_frechet_distance_agree(n, m):
    x, y = correlated(n, 64), correlated(m, 64, shift=0.3, seed=1)
    ways = [FrechetReference(a).distance(b) for a in (y, of(y)) for b in (x, of(x))]
    assert np.allclose(ways, ways[0], rtol=1e-7)
    assert FrechetReference(x).distance(y) == pytest.approx(ways[0], rel=1e-7)


def test_frechet_of_diagonal_gaussians():
    scale = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    square = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    x, y = square, square * scale + 3
    # Unbiased covariances 4/3 and 4/3 scale**2.
    expected = 27 + 4 / 3 * float(((scale - 1) ** 2).sum())
    assert FrechetReference(of(x)).distance(of(y)) == pytest.approx(expected, rel=1e-12)


def test_frechet_equals_torchmetrics():
    fid = pytest.importorskip("torchmetrics.image.fid", reason="needs torchmetrics")
    x, y = of(correlated(300, 32)), of(correlated(300, 32, 0.3, 1))
    theirs = fid._compute_fid(x.mean, x.covariance, y.mean, y.covariance)
    assert FrechetReference(x).distance(y) == pytest.approx(float(theirs), rel=1e-6)


@pytest.mark.parametrize("n", [40, 300])
def test_frechet_of_a_set_with_itself_is_zero(n):
    x = correlated(n, 64)
    assert abs(FrechetReference(x).distance(x)) < 1e-9 * float(of(x).covariance.trace())
    assert abs(FrechetReference(of(x)).distance(of(x))) < 1e-6 * float(of(x).covariance.trace())


@pytest.mark.parametrize(("features", "images", "limit_s"), [(2048, 200, 0.5), (64, 500, 0.05)])
def test_frechet_takes_little_time(features, images, limit_s):
    reference = FrechetReference(correlated(images, features))
    x = correlated(images, features, seed=1)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        reference.distance(x)
        times.append(time.perf_counter() - start)
    assert min(times) < limit_s


def test_frechet_errors():
    with pytest.raises(MetricError, match="got features of 6 numbers against 7"):
        FrechetReference(of(torch.rand(9, 7))).distance(of(torch.rand(9, 6)))
    for size in ((9, 3), (2, 3)):
        with pytest.raises(MetricError, match="got features that are not finite"):
            FrechetReference(of(torch.rand(9, 3))).distance(torch.full(size, torch.nan))
    with pytest.raises(MetricError, match="got 1 image, expected at least two"):
        FrechetReference(torch.rand(1, 3))


def plain_squared_mmd(x: torch.Tensor, y: torch.Tensor) -> float:
    def kernel(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    within = [np.mean([kernel(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]) for s in (x, y)]
    return float(sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y]))


def test_kernel_distance_equals_the_plain_formula():
    x, y = correlated(12, 5).double(), correlated(9, 5, 0.5, 1).double()
    value, (low, high) = kernel_distance(x, y)
    assert value == pytest.approx(plain_squared_mmd(x, y), rel=1e-9)
    assert low < value < high
    assert kernel_distance(x, y) == (value, (low, high))


def test_kernel_distance_equals_torchmetrics():
    kid = pytest.importorskip("torchmetrics.image.kid", reason="needs torchmetrics")
    x, y = correlated(60, 8).double(), correlated(60, 8, 0.2, 1).double()
    assert kernel_distance(x, y)[0] == pytest.approx(float(kid.poly_mmd(x, y)), rel=1e-9)


def test_kernel_distance_of_large_sets_is_the_mean_of_subsets():
    x, y = correlated(1500, 4), correlated(1300, 4, 0.2, 1)
    value, (low, high) = kernel_distance(x, y)
    a, b = x.double(), y.double()
    xx, yy, xy = ((p @ q.T / 4 + 1) ** 3 for p, q in ((a, a), (b, b), (a, b)))
    n, m = len(x), len(y)
    whole = (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1)) - 2 * xy.mean()
    assert value == pytest.approx(float(whole), rel=0.1)
    assert low < float(whole) < high


def test_kernel_interval_covers_zero_for_equal_distributions():
    covered = 0
    for seed in range(20):
        _, (low, high) = kernel_distance(correlated(80, 6, seed=seed)[:40], correlated(80, 6, seed=seed)[40:], seed)
        covered += low <= 0 <= high
    assert covered >= 16


def test_kernel_distance_errors():
    with pytest.raises(MetricError, match="kernel distance: got features of shapes"):
        kernel_distance(torch.rand(1, 3), torch.rand(5, 3))
    with pytest.raises(MetricError, match="kernel distance: got features that are not finite"):
        kernel_distance(torch.full((3, 3), torch.nan), torch.rand(5, 3))


def test_precision_and_recall_on_a_line():
    reference = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    generated = torch.tensor([[0.5], [1.5], [100.0], [0.6]])
    precise, recalled = precision_recall(generated, reference, num_neighbors=1)
    # Every real ball has radius 1; generated radii are 0.1, 0.9, 98.5 and 0.1.
    assert precise.tolist() == [1, 1, 0, 1]
    assert recalled.tolist() == [0, 1, 1, 1, 1, 1]


def test_precision_and_recall_of_a_set_with_itself():
    x = torch.rand(30, 5)
    assert all(float(each.mean()) == 1 for each in precision_recall(x, x))
    with pytest.raises(MetricError, match="expected more than 3 images a side"):
        precision_recall(x[:3], x)
