"""Refit: exact where the kept channels determine the output, never worse, and clear about what it leaves alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from gancompress.channels import materialise, reorder, trace
from gancompress.errors import RefitError
from gancompress.importance import SCORES, by_importance
from gancompress.reconstruction import refit
from tests.channels.cases import make
from tests.reconstruction.networks import Chain, halved, repeat_channels

IMAGES = torch.randn(8, 3, 10, 10)
READERS = {
    "dense": nn.Conv2d(8, 5, 3, padding=1),
    "strided": nn.Conv2d(8, 5, 3, stride=2, padding=1, padding_mode="reflect", bias=False),
    "transposed": nn.ConvTranspose2d(8, 5, 4, stride=2, padding=1),
    "weight norm": weight_norm(nn.Conv2d(8, 5, 3, padding=1)),
}


def compared(wide: nn.Module, narrow: nn.Module, given: Tensor) -> float:
    """The largest difference, over the wide network's largest value."""
    with torch.no_grad():
        expected = wide(given)
        return float((narrow(given) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", READERS)
def test_what_the_kept_channels_determine_is_restored_on_other_images(name):
    wide = Chain(nn.Conv2d(3, 8, 3), copy.deepcopy(READERS[name])).eval()
    repeat_channels(wide.first)
    narrow, graph, plan = halved(wide, (IMAGES,))
    other = torch.randn(2, 3, 12, 12)
    assert compared(wide, narrow, other) > 0.1
    before = copy.deepcopy(wide.state_dict())
    report = refit(wide, narrow, graph, plan, (IMAGES,))
    assert compared(wide, narrow, other) < 1e-3
    assert [layer.name for layer in report.layers] == ["first", "second"]
    assert report.layers[0].ridge is None, "it lost no input channel"
    assert report.layers[1].after < 1e-4 * report.layers[1].before
    assert str(report) == "1 of 2 layers refitted"
    assert all(torch.equal(tensor, before[name]) for name, tensor in wide.state_dict().items())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in wide.modules())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in narrow.modules())


def test_a_linear_network():
    wide = Chain(nn.Linear(6, 8), nn.Linear(8, 3)).eval()
    repeat_channels(wide.first)
    given = torch.randn(200, 6)
    narrow, graph, plan = halved(wide, (given,))
    refit(wide, narrow, graph, plan, (given,))
    assert compared(wide, narrow, torch.randn(9, 6)) < 1e-3


@pytest.mark.parametrize("layer", [nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(8, 16, 3, stride=2, groups=8)])
def test_a_depthwise_layer_is_fitted_to_its_own_channels(layer):
    wide = Chain(nn.Conv2d(3, 8, 3), nn.Sequential(copy.deepcopy(layer), nn.Conv2d(layer.out_channels, 2, 1))).eval()
    narrow, graph, plan = halved(wide, (IMAGES,))
    expected = narrow.second[0].weight.clone()
    with torch.no_grad():
        narrow.second[0].weight.add_(0.3)
        narrow.second[0].bias.sub_(1)
    refit(wide, narrow, graph, plan, (IMAGES,))
    torch.testing.assert_close(narrow.second[0].weight, expected, rtol=0, atol=2e-3)
    torch.testing.assert_close(
        narrow.second[0].bias, wide.second[0].bias[: len(narrow.second[0].bias)], rtol=0, atol=2e-3
    )


def test_a_grouped_layer_keeps_channels_of_every_group():
    grouped = nn.ConvTranspose2d(8, 12, 3, stride=2, groups=2)
    wide = Chain(nn.Conv2d(3, 8, 3), nn.Sequential(grouped, nn.Conv2d(12, 2, 1))).eval()
    narrow, graph, plan = halved(wide, (IMAGES,))
    assert narrow.second[0].weight.shape == (4, 3, 3, 3)
    with torch.no_grad():
        wide.first.weight[2:4] = wide.first.weight[6:8] = 0  # the channels that are removed of both groups
        wide.first.bias[2:4] = wide.first.bias[6:8] = 0
        narrow = materialise(wide, graph, plan)
        expected = narrow.second[0].weight.clone()
        narrow.second[0].weight.mul_(0.5)
    refit(wide, narrow, graph, plan, (IMAGES,))
    torch.testing.assert_close(narrow.second[0].weight, expected, rtol=0, atol=2e-3)


class Residual(nn.Module):
    """A skip that is not fitted, and a branch that can make up for it."""

    class Skip(nn.Conv2d):
        pass

    def __init__(self) -> None:
        super().__init__()
        self.skip = self.Skip(3, 4, 1)
        self.branch = nn.Conv2d(3, 4, 1)
        self.sum = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.sum(self.skip(x) + 0.2 * self.branch(x))


def test_a_branch_corrects_the_error_of_the_stream():
    wide = Residual().eval()
    graph = trace(wide, (IMAGES,))
    narrow = copy.deepcopy(wide)
    with torch.no_grad():
        narrow.skip.weight.add_(0.3)
    assert compared(wide, narrow, IMAGES) > 0.1
    report = refit(wide, narrow, graph, graph.full_plan(), (IMAGES,))
    assert compared(wide, narrow, torch.randn(2, 3, 4, 4)) < 1e-3
    torch.testing.assert_close(narrow.branch.weight, wide.branch.weight - 0.3 / 0.2, rtol=0, atol=0.01)
    assert report.left == {"skip": "Skip is not a plain layer of PyTorch"}
    assert str(report) == "1 of 2 layers refitted; 1 left as cut ('skip': Skip is not a plain layer of PyTorch)"


@pytest.mark.parametrize("name", ["resnet", "resnet_batch", "rrdbnet", "super_resolution", "volume"])
def test_three_quarters_of_the_channels_of_a_network(name):
    module, (given,) = make(name)
    graph = trace(module, (given,), multiple=1, minimum=1)
    plan = graph.uniform_plan(0.75)
    order = by_importance(SCORES["l1_incoming"](module.state_dict(), graph))
    module.load_state_dict(reorder(module.state_dict(), graph, order))
    narrow = materialise(module, graph, plan)
    many = torch.randn(8, *given.shape[1:])
    with torch.no_grad():
        expected = module(many)
        before = (narrow(many) - expected).square().mean()
        report = refit(module, narrow, graph, plan, (many,), seed=1)
        after = (narrow(many) - expected).square().mean()
    assert after < before, report
    assert all(layer.after <= layer.before for layer in report.layers)
    assert not narrow.training


def test_the_same_seed_gives_the_same_weights():
    wide = Chain(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 3)).eval()
    given = torch.randn(8, 3, 40, 40)  # more positions than are drawn
    states = []
    for seed in (0, 0, 1):
        narrow, graph, plan = halved(wide, (given,))
        torch.rand(1)
        refit(wide, narrow, graph, plan, (given,), seed=seed)
        states.append(narrow.second.weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_batch_norms_take_the_statistics_of_the_inputs():
    wide = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 3)).eval()
    narrow, graph, plan = halved(wide, (IMAGES,))
    refit(wide, narrow, graph, plan, (IMAGES,))
    with torch.no_grad():
        given = narrow[0](IMAGES)
    torch.testing.assert_close(narrow[1].running_mean, given.mean((0, 2, 3)))
    torch.testing.assert_close(narrow[1].running_var, given.var((0, 2, 3)))
    assert narrow[1].momentum == 0.1
    assert not wide[1].running_mean.any(), "the wide network keeps its own"


class Tied(nn.Module):
    """Layers whose weights are not theirs alone."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(3, 3, 1)
        self.normed = spectral_norm(nn.Conv2d(3, 3, 1))
        self.one, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.other.weight = self.one.weight
        self.unused = nn.Conv2d(3, 3, 1)
        self.last = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.other(self.one(self.normed(self.twice(self.twice(x))))))


def test_layers_that_cannot_be_solved_for_are_named_and_stay():
    wide = Tied().eval()
    graph = trace(wide, (IMAGES,))
    narrow = copy.deepcopy(wide)
    with torch.no_grad():
        for parameter in narrow.parameters():
            parameter.add_(0.1)
    before = copy.deepcopy(narrow.state_dict())
    report = refit(wide, narrow, graph, graph.full_plan(), (IMAGES,))
    assert [layer.name for layer in report.layers] == ["last"]
    assert report.left == {
        "twice": "it is called 2 times",
        "normed": "its weight is computed from other tensors",
        "one": "it shares its weight with another layer",
        "other": "it shares its weight with another layer",
    }
    changed = {name for name, tensor in narrow.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"last.weight", "last.bias"}


def test_too_few_inputs():
    wide = Chain(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 3)).eval()
    narrow, graph, plan = halved(wide, (IMAGES[:1, :, :6, :6],))
    message = (
        "refit: got 1 inputs, which give 'second' 4 equations for each channel, expected 37, as its unknowns need; "
        "give at least 10 inputs of this size, or larger ones"
    )
    with pytest.raises(RefitError, match=message):
        refit(wide, narrow, graph, plan, (IMAGES[:1, :, :6, :6],))


def test_activations_that_are_not_finite():
    wide = Chain(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 3)).eval()
    narrow, graph, plan = halved(wide, (IMAGES,))
    given = IMAGES.clone()
    given[3, 0, 0, 0] = torch.inf
    with pytest.raises(RefitError, match="'first' of the wide network returned numbers that are not finite, expected"):
        refit(wide, narrow, graph, plan, (given,))
    with torch.no_grad():
        narrow.second.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(RefitError, match=r"refit: 'second' of the narrow network .*; cut fewer channels"):
        refit(wide, narrow, graph, plan, (IMAGES,))


def test_a_network_without_plain_layers():
    wide = nn.Sequential(spectral_norm(nn.Conv2d(3, 3, 1))).eval()
    graph = trace(wide, (IMAGES,))
    with pytest.raises(RefitError, match=r"got a network without layers to solve for \(0 of 1 layers refitted; 1 left"):
        refit(wide, copy.deepcopy(wide), graph, graph.full_plan(), (IMAGES,))
