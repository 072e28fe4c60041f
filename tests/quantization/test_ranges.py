import math

import pytest
import torch
from torch import nn

from gancompress.errors import ConfigError
from gancompress.quantization import QuantizationOptions, affine_grid, fake_quantize
from gancompress.quantization.estimates import estimate_range
from gancompress.quantization.ranges import GanSlimmingRange, LearnedRange, ObservedRange, activation_quantizer


def options(**changes) -> QuantizationOptions:
    return QuantizationOptions(**changes)


def bounds(quantizer) -> list[float]:
    return [float(bound) for bound in quantizer.bounds()]


def test_the_three_rules():
    values = torch.cat([torch.linspace(-1, 3, 10_001), torch.tensor([50.0])])
    lower, upper = estimate_range(values, 8, options(ranges="minmax"))
    assert (float(lower), float(upper)) == (-1, 50)
    lower, upper = estimate_range(values, 8, options(ranges="percentile", percentile=99.0))
    assert float(lower) == pytest.approx(-0.96, abs=1e-2)
    assert float(upper) == pytest.approx(2.96, abs=1e-2)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_other_factor_has_less_squared_error(bits):
    values = torch.randn(20_000)
    largest = [float(end) for end in torch.aminmax(values)]

    def error(lower, upper) -> float:
        grid = affine_grid(torch.tensor(lower), torch.tensor(upper), bits)
        return float((fake_quantize(values, grid) - values).square().mean())

    found = error(*map(float, estimate_range(values, bits, options(ranges="mse"))))
    others = [error(largest[0] * factor, largest[1] * factor) for factor in (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)]
    assert found <= min(others) * 1.1
    if bits < 8:
        assert found < 0.8 * others[-1]  # fewer bits want a narrower range than min to max


def test_large_tensors_are_judged_by_values_from_all_columns():
    values = torch.zeros(64, 1024, 64)
    values[..., 33] = 7
    _, upper = estimate_range(values, 8, options(ranges="percentile", percentile=99.0))
    assert upper == 7


def test_observing_takes_the_union_for_minmax_and_the_mean_for_others():
    small, large = torch.linspace(-1, 2, 1001), torch.linspace(-3, 1, 1001)
    union = ObservedRange("layer", 8, options(ranges="minmax"))
    for batch in (small, large):
        union.observe(batch)
    assert bounds(union) == [-3, 2]
    mean = ObservedRange("layer", 8, options(ranges="percentile", percentile=100.0))
    for batch in (small, large):
        mean.observe(batch)
    assert bounds(mean) == [-2, 1.5]
    mean.start_observing()
    mean.observe(large)
    assert bounds(mean) == [-3, 1]


def test_training_moves_the_range_and_evaluation_leaves_it():
    quantizer = ObservedRange("layer", 8, options(ranges="minmax", momentum=0.25))
    quantizer(torch.tensor([-1.0, 1.0]))
    assert bounds(quantizer) == [-1, 1]
    quantizer(torch.tensor([-5.0, 3.0]))
    assert bounds(quantizer) == [-2, 1.5]
    quantizer.eval()(torch.tensor([-50.0, 30.0]))
    assert bounds(quantizer) == [-2, 1.5]


@pytest.mark.parametrize("ranges", ["minmax", "learned"])
def test_without_a_range_evaluation_says_what_to_do(ranges):
    quantizer = activation_quantizer("up.0, input", 8, options(ranges=ranges)).eval()
    with pytest.raises(ConfigError, match=r"activations of up\.0, input have no range yet; calibrate"):
        quantizer(torch.randn(2, 3))


def test_a_learned_range_starts_at_the_first_batch_and_rounds_as_its_grid_says():
    quantizer = LearnedRange("layer", 4, options(ranges="learned"))
    values = torch.randn(8, 3, 5, 5)
    got = quantizer(values)
    grid = quantizer.grid()
    assert torch.allclose(got, fake_quantize(values, grid), atol=1e-6)
    lower, upper = estimate_range(values, 4, options(ranges="learned"))
    assert bounds(quantizer) == pytest.approx([float(lower), float(upper)], rel=1e-5)


def test_gradients_of_a_learned_range_are_those_of_lsq_plus():
    """The derivatives as LSQ+ states them, for ``x_hat = s * clamp(round((x - beta) / s), 0, p) + beta``."""
    bits, highest = 4, 15
    quantizer = LearnedRange("layer", bits, options(ranges="learned"))
    quantizer.set_bounds(torch.tensor(-1.0), torch.tensor(2.0))  # the step 0.2 puts 0 on the grid: zero point 5
    values = torch.randn(4, 6, 3) * 2
    weights = torch.randn_like(values)
    scale, offset = 0.2, -1.0

    (quantizer(values) * weights).sum().backward()

    position = (values - offset) / scale
    inside = (position.round() >= 0) & (position.round() <= highest)
    by_scale = torch.where(inside, position.round() - position, position.round().clamp(0, highest))
    by_offset = torch.where(inside, 0.0, 1.0)
    gradient_scale = 1 / math.sqrt(18 * highest)
    assert quantizer.scale.grad is not None
    assert quantizer.offset.grad is not None
    assert float(quantizer.scale.grad) == pytest.approx(float((by_scale * weights).sum()) * gradient_scale, rel=1e-3)
    assert float(quantizer.offset.grad) == pytest.approx(float((by_offset * weights).sum()) * gradient_scale, rel=1e-3)


def test_training_a_learned_range_finds_the_range_of_least_error():
    values = torch.randn(16, 64)
    quantizer = LearnedRange("layer", 3, options(ranges="learned"))

    def error() -> torch.Tensor:
        return nn.functional.mse_loss(quantizer(values), values)

    quantizer.set_bounds(*estimate_range(values, 3, options(ranges="mse")))
    best = float(error().detach())
    quantizer.set_bounds(torch.tensor(-8.0), torch.tensor(8.0))
    assert float(error().detach()) > 5 * best
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.02)
    for _ in range(500):
        optimizer.zero_grad()
        error().backward()
        optimizer.step()
    assert float(error().detach()) < 1.1 * best


@pytest.mark.parametrize("ranges", ["minmax", "learned"])
def test_other_bits_keep_the_range(ranges):
    quantizer = activation_quantizer("layer", 4, options(ranges=ranges))
    quantizer.set_bounds(torch.tensor(-1.0), torch.tensor(2.0))
    quantizer.set_bits(16)
    assert bounds(quantizer) == pytest.approx([-1, 2])
    assert float(quantizer.grid().scale) == pytest.approx(3 / 65535)


def test_the_grid_of_gan_slimming_has_257_numbers_and_loses_the_sign():
    quantizer = GanSlimmingRange("layer", 8, options(scheme="gan_slimming"))
    values = torch.linspace(-6, 6, 20_001)
    got = quantizer(values)
    assert torch.equal(got.unique(), torch.arange(257) / 64)
    assert torch.equal(got, (values.clamp(0, 4) * 64).round() / 64)
    assert not list(quantizer.state_dict())
