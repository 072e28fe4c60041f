from __future__ import annotations

import math

import pytest
import torch

from gancompress.errors import InputSizeError
from gancompress.perception import ssim


def plain_ssim(x: torch.Tensor, y: torch.Tensor) -> float:
    """Equation 13 for one channel in [0, 1], window by window."""
    rows = [[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / 4.5) for i in range(11)] for j in range(11)]
    weights = torch.tensor(rows, dtype=torch.float64)
    weights = weights / weights.sum()
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = x[top : top + 11, left : left + 11], y[top : top + 11, left : left + 11]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            cov = (weights * (a - ma) * (b - mb)).sum()
            c1, c2 = 1e-4, 9e-4
            values.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(torch.stack(values).mean())


def test_equals_the_plain_formula():
    x, y = torch.rand(2, 1, 1, 13, 15, dtype=torch.float64)
    assert ssim(x, y).item() == pytest.approx(plain_ssim(x[0, 0], y[0, 0]), rel=1e-9)


def test_equals_torchmetrics():
    image = pytest.importorskip("torchmetrics.functional.image", reason="needs torchmetrics")
    x = torch.rand(3, 3, 40, 32)
    y = (x + 0.2 * torch.rand_like(x)).clamp(0, 1)
    _, every_position = image.structural_similarity_index_measure(y, x, data_range=1.0, return_full_image=True)
    expected = every_position[..., 5:-5, 5:-5].mean((1, 2, 3))
    assert torch.allclose(ssim(y, x), expected, atol=1e-5)


def test_equal_images_and_gradient():
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    assert torch.allclose(ssim(x, x), torch.ones(2))
    ssim(x, torch.rand_like(x)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(1, 3, 10, 20), (1, 3, 20, 21)])
def test_shapes_are_checked(shape):
    with pytest.raises(InputSizeError, match="ssim: got images of shapes"):
        ssim(torch.rand(shape), torch.rand(1, 3, shape[2], 20))
