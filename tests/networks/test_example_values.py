import math

import pytest
import torch

from gancompress.networks.example_values import example_values


def test_floats_are_a_wave():
    values = example_values((2, 3))
    assert values.flatten().tolist() == pytest.approx([math.sin(i) for i in range(6)], abs=1e-7)
    assert example_values((2, 3), torch.float16).dtype == torch.float16
    assert example_values((2, 3), device="meta").is_meta
    assert example_values(()).shape == ()


def test_integers_and_truth_values():
    assert example_values((1, 2, 3), torch.int32, num_integers=4).tolist() == [[[0, 1, 2], [3, 0, 1]]]
    assert example_values((2,), torch.int64).tolist() == [0, 0]
    assert example_values((5,), torch.bool).tolist() == [False, True, True, True, False]  # sin 0 to sin 4
