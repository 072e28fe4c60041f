"""Layers as matrices: what they compute is what PyTorch computes, and weights go in as they came out."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from gancompress.reconstruction.layers import Matrices, channel_axis, obstacle, rows

LAYERS = {
    "linear": (nn.Linear(5, 4), (6, 5)),
    "linear on sequences": (nn.Linear(5, 4, bias=False), (2, 3, 5)),
    "conv1d": (nn.Conv1d(4, 6, 3, padding=1, dilation=2), (2, 4, 11)),
    "conv2d": (nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(0, 2)), (2, 4, 9, 8)),
    "conv3d": (nn.Conv3d(2, 3, 2, stride=2), (2, 2, 4, 4, 6)),
    "reflected": (nn.Conv2d(3, 2, 5, padding=2, padding_mode="reflect"), (2, 3, 7, 6)),
    "circular, same": (nn.Conv2d(3, 2, (2, 3), padding="same", padding_mode="circular"), (2, 3, 7, 6)),
    "grouped": (nn.Conv2d(6, 9, 3, groups=3), (2, 6, 7, 6)),
    "depthwise": (nn.Conv2d(4, 4, 3, padding=1, groups=4), (2, 4, 5, 5)),
    "depthwise with a multiplier": (nn.Conv2d(4, 8, 3, groups=4, bias=False), (2, 4, 5, 5)),
    "transposed1d": (nn.ConvTranspose1d(4, 3, 4, stride=2, padding=1), (2, 4, 6)),
    "transposed2d": (nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1), (2, 4, 5, 6)),
    "transposed, uneven": (nn.ConvTranspose2d(4, 3, (2, 5), stride=(3, 2), dilation=(2, 1)), (2, 4, 5, 6)),
    "transposed, grouped": (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, bias=False), (2, 4, 5, 6)),
    "transposed, depthwise": (nn.ConvTranspose2d(4, 8, 4, stride=2, padding=1, groups=4), (2, 4, 5, 6)),
    "transposed, more padding than kernel": (nn.ConvTranspose2d(4, 3, 1, stride=2, padding=1), (2, 4, 5, 6)),
}


def by_matrices(layer: nn.Module, given: Tensor, output: Tensor, positions: Tensor) -> Tensor:
    matrices = Matrices(layer)
    computed = matrices.design(given, output.shape, positions) @ matrices.coefficients()
    computed = computed.transpose(0, 1).flatten(1)
    return computed if layer.bias is None else computed + layer.bias


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_the_product_is_the_output(name):
    layer, shape = LAYERS[name]
    layer, given = copy.deepcopy(layer).double(), torch.randn(shape, dtype=torch.float64)
    output = layer(given)
    axis = channel_axis(layer, output.ndim)
    positions = torch.randperm(output.numel() // output.shape[axis])[:30]
    expected = rows(output, axis, positions)
    torch.testing.assert_close(by_matrices(layer, given, output, positions), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_installed_weights_are_the_coefficients(name):
    layer, _ = LAYERS[name]
    other = copy.deepcopy(layer)
    for tensor in other.parameters():
        tensor.normal_()
    matrices = Matrices(layer)
    bias = None if layer.bias is None else layer.bias.unflatten(0, (len(matrices.coefficients()), -1))
    Matrices(other).install(matrices.coefficients(), bias)
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), layer.parameters(), strict=True))


@pytest.mark.parametrize("weight_norm", [parametrizations.weight_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("name", ["conv2d", "transposed, grouped"])
@torch.no_grad()
def test_weights_under_weight_norm_are_written_as_direction_and_norm(name, weight_norm):
    layer, shape = LAYERS[name]
    normed, given = weight_norm(copy.deepcopy(layer)), torch.randn(shape)
    for tensor in normed.parameters():
        tensor.normal_()
    assert obstacle(normed) is None
    matrices = Matrices(layer)
    bias = None if layer.bias is None else layer.bias.unflatten(0, (len(matrices.coefficients()), -1))
    Matrices(normed).install(matrices.coefficients(), bias)
    torch.testing.assert_close(normed.weight, layer.weight)  # at once, as the pass that installs them goes on
    torch.testing.assert_close(normed(given), layer(given))


def test_rows_are_channels_at_positions():
    output = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    torch.testing.assert_close(
        rows(output, 1, torch.tensor([0, 27])), torch.stack([output[0, :, 0, 0], output[1, :, 1, 2]])
    )


@pytest.mark.parametrize("name", ["dense", "transposed"])
def test_fewer_equations_than_needed_do_not_determine_the_unknowns(name):
    """The rank of the equations of one image, all of whose positions are taken."""
    layer = {"dense": nn.Conv2d(2, 1, 3, bias=False), "transposed": nn.ConvTranspose2d(2, 1, 3, stride=2, bias=False)}
    matrices = Matrices(layer[name])
    for side in (3, 4, 5, 6, 7):
        given = torch.randn(1, 2, side, side, dtype=torch.float64)
        output = layer[name].double()(given)
        design = matrices.design(given, output.shape, torch.arange(output.numel()))[0]
        determined = int(torch.linalg.matrix_rank(design)) == matrices.num_unknowns
        if determined:
            assert output.numel() >= matrices.num_equations_needed
