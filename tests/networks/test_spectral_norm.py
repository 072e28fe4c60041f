from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from gancompress.networks.generator import Generator
from gancompress.networks.layers import spectrally_normed
from gancompress.networks.registry import build
from gancompress.networks.spectral_norm import fold_spectral_norm, fold_state, settle_spectral_norm


def hook(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.spectral_norm(layer)


def normed(layer: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    return spectrally_normed(layer)


def test_it_is_that_of_pytorch_and_without_weights_a_shape_alone():
    layer = convolution()
    torch.manual_seed(1)
    expected, made = parametrizations.spectral_norm(copy.deepcopy(layer)), normed(layer)
    assert made.state_dict().keys() == expected.state_dict().keys()
    assert all(made.state_dict()[name].equal(tensor) for name, tensor in expected.state_dict().items())
    image = torch.rand(1, 3, 8, 8)
    assert made(image).equal(expected(image))
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in normed(convolution()).state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in expected.state_dict().items()}


def convolution() -> nn.Module:
    return nn.Conv2d(3, 5, 3)


def linear() -> nn.Module:
    return nn.Linear(4, 6, bias=False)


@pytest.mark.parametrize("norm", [hook, parametrizations.spectral_norm])
@pytest.mark.parametrize(("make", "shape"), [(convolution, (2, 3, 5, 5)), (linear, (2, 4))])
def test_folding_equals_evaluation(
    make: Callable[[], nn.Module], shape: tuple[int, ...], norm: Callable[[nn.Module], nn.Module]
) -> None:
    given = torch.randn(shape)
    normed, plain = nn.Sequential(norm(make())), nn.Sequential(make())
    normed(given)  # a step of the power iteration
    plain.load_state_dict(fold_state(normed.state_dict()))
    assert torch.equal(plain(given), normed.eval()(given))


def test_files_without_the_right_vector() -> None:
    """Before PyTorch 1.0 a file had the left vector, and the weight of an earlier step beside the original."""
    layer = nn.Sequential(hook(convolution()))
    given = torch.randn(1, 3, 5, 5)
    for _ in range(100):
        layer(given)
    state = dict(layer.state_dict())
    expected = fold_state(state)["0.weight"]
    del state["0.weight_v"]
    folded = fold_state({**state, "0.weight": torch.zeros(5, 3, 3, 3)})
    assert folded.keys() == {"0.weight", "0.bias"}
    torch.testing.assert_close(folded["0.weight"], expected)


def test_what_has_no_spectral_norm_stays() -> None:
    state = convolution().state_dict()
    assert fold_state(state) == state
    config = {"ngf": 4}
    generator = Generator.from_module(build("resnet_6blocks", config), "resnet_6blocks", config)
    assert fold_spectral_norm(generator) is generator


def test_settled_vectors_are_those_of_the_weight_whatever_they_were():
    network = parametrizations.spectral_norm(nn.Conv2d(3, 5, 3)).eval()
    norm = network.parametrizations.weight[0]
    with torch.no_grad():
        norm._u.mul_(0.3)  # as an average over many steps would be
        norm._v.mul_(0.5)
    assert torch.linalg.matrix_norm(network.weight.flatten(1), 2) > 2
    settle_spectral_norm(network, 50)
    torch.testing.assert_close(torch.linalg.matrix_norm(network.weight.flatten(1), 2), torch.tensor(1.0))
    assert not network.training
