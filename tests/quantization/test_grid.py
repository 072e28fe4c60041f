"""Expected values are computed in float64 from the definition of rounding to a grid."""

import pytest
import torch
from torch import Tensor

from gancompress.quantization import affine_grid, fake_quantize, integers, symmetric_grid


def rounded(values: Tensor, scale: Tensor, zero_point: int, lowest: int, highest: int) -> Tensor:
    steps = (values.double() / scale.double()).round() + zero_point
    return (steps.clamp(lowest, highest) - zero_point) * scale.double()


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize(("lower", "upper"), [(-3.0, 5.0), (0.0, 4.0), (-2.0, 0.0), (1.0, 4.0), (-4.0, -1.0)])
def test_an_affine_grid_covers_its_range_and_zero(bits, lower, upper):
    grid = affine_grid(torch.tensor(lower), torch.tensor(upper), bits)
    step = float(grid.scale)
    values = torch.linspace(min(lower, 0), max(upper, 0), 1001)
    got = fake_quantize(values, grid)
    assert (got - values).abs().max() <= 1.01 * step
    assert len(got.unique()) <= 2**bits
    assert fake_quantize(torch.zeros(1), grid) == 0
    assert 0 <= grid.zero_point <= 2**bits - 1


def test_values_on_both_sides_of_zero_keep_their_sign():
    grid = affine_grid(torch.tensor(-1.0), torch.tensor(1.0), 8)
    values = torch.randn(1000).clamp(-1, 1)
    assert torch.equal(fake_quantize(values, grid).sign()[values.abs() > 0.01], values.sign()[values.abs() > 0.01])


def test_rounding_agrees_with_the_definition():
    grid = affine_grid(torch.tensor(-1.3), torch.tensor(2.1), 4)
    values = torch.randn(4000)
    expected = rounded(values, grid.scale, int(grid.zero_point), 0, 15)
    assert (fake_quantize(values, grid).double() - expected).abs().max() < 1e-6


@pytest.mark.parametrize("axis", [0, 1])
def test_each_output_channel_has_the_scale_of_its_largest_weight(axis):
    weight = torch.randn(4, 6, 3, 3) * torch.logspace(-2, 2, 6)[:, None, None]
    grid = symmetric_grid(weight, 4, axis)
    assert grid.scale.shape == (weight.shape[axis],)
    for channel, scale in enumerate(grid.scale):
        own = weight.select(axis, channel)
        assert torch.isclose(scale * 7, own.abs().max())
        expected = rounded(own, scale, 0, -7, 7)
        assert torch.allclose(fake_quantize(weight, grid).select(axis, channel).double(), expected)


def test_two_bits_leave_three_values_and_a_channel_of_zeros_stays_zero():
    weight = torch.randn(3, 5)
    weight[1] = 0
    got = fake_quantize(weight, symmetric_grid(weight, 2, 0))
    assert set((got[0] / weight[0].abs().max()).tolist()) <= {-1.0, 0.0, 1.0}
    assert torch.equal(got[1], torch.zeros(5))


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_integers_times_scale_are_the_values_to_the_bit(bits):
    weight = torch.randn(8, 4, 3, 3)
    grid = symmetric_grid(weight, bits, 0)
    values = fake_quantize(weight, grid)
    stored = integers(values, grid)
    assert stored.min() >= grid.lowest
    assert stored.max() <= grid.highest
    assert torch.equal(stored.float() * grid.scale.reshape(-1, 1, 1, 1), values)


def test_the_gradient_passes_inside_the_range_and_stops_outside():
    values = torch.tensor([-2.0, -0.5, 0.3, 0.9, 2.0], requires_grad=True)
    fake_quantize(values, affine_grid(torch.tensor(-1.0), torch.tensor(1.0), 8)).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 1, 0]


def test_half_precision_stays_half_precision():
    values = torch.randn(3, 4, dtype=torch.bfloat16)
    assert fake_quantize(values, symmetric_grid(values, 8, 0)).dtype == torch.bfloat16
