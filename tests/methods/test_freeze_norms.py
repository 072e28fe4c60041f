"""Frozen norms: what they compute, that they stay so in training, and that nothing of them is left in a file."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import gancompress as gc
from gancompress.channels import SubNetwork, materialise, trace
from gancompress.deploy.rewrites import rewritten
from gancompress.errors import ConfigError
from gancompress.methods.freeze_norms import norm_statistics
from gancompress.methods.generators import frozen as freeze
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.generator import Generator
from gancompress.networks.layers import FrozenNorm
from gancompress.networks.registry import architecture_of, build

FAMILIES = {
    "resnet": {"ngf": 4, "num_blocks": 1, "affine_norms": "prunable"},
    "mobile_resnet_6blocks": {"ngf": 4},
    "unet": {"ngf": 4, "num_downs": 2, "norm": "instance"},
    "cartoongan": {"ngf": 4, "num_blocks": 1},
}


def drawn(family: str) -> Generator:
    torch.manual_seed(0)
    net = build(family, FAMILIES[family])
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5) if tensor.dim() > 1 else tensor.uniform_(0.5, 1.5)
            assert "running" not in name
    return Generator.from_module(net, family, FAMILIES[family])


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_on_the_image_of_its_statistics_a_frozen_norm_is_the_instance_norm(family, tmp_path):
    generator, image = drawn(family), torch.rand(1, 3, 16, 16) * 2 - 1
    net = generator.build()
    num_norms = sum(isinstance(layer, nn.InstanceNorm2d) for layer in net.modules())
    statistics = norm_statistics(net, [image])
    freeze(generator, statistics).save(tmp_path)
    frozen = Generator.load(tmp_path).build()
    assert sum(isinstance(layer, FrozenNorm) for layer in frozen.modules()) == num_norms == len(statistics)
    assert not any(isinstance(layer, nn.InstanceNorm2d) for layer in frozen.modules())
    torch.testing.assert_close(frozen(image), net(image), rtol=0, atol=1e-4)
    other = torch.rand(1, 3, 16, 16)
    assert (frozen(other) - net(other)).abs().max() > 1e-3

    folded, (change,) = rewritten(frozen, ["folded_batch_norms"])
    assert len(change.layers) == num_norms
    assert not any(isinstance(layer, FrozenNorm) for layer in folded.modules())
    torch.testing.assert_close(folded(other), frozen(other), rtol=0, atol=1e-4)


def test_statistics_are_means_over_images():
    net = nn.Sequential(nn.InstanceNorm2d(3))
    images = torch.randn(6, 3, 8, 8) * torch.arange(1, 7).view(6, 1, 1, 1)
    ((mean, variance),) = norm_statistics(net, images.split(2)).values()
    torch.testing.assert_close(mean, images.mean((2, 3)).mean(0))
    torch.testing.assert_close(variance, images.var((2, 3), correction=0).mean(0))


def test_training_and_recalibration_leave_the_statistics():
    generator, image = drawn("resnet"), torch.rand(2, 3, 16, 16) * 2 - 1
    net = freeze(generator, norm_statistics(generator.build(), [image])).build()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items() if "running" in name}
    in_evaluation = net(image).detach()
    net.train()
    torch.testing.assert_close(net(image), in_evaluation, rtol=0, atol=0)
    net(image).square().mean().backward()
    recalibrate(net, [image])
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(layer.weight.grad is not None for layer in net.modules() if isinstance(layer, FrozenNorm))


def test_a_frozen_network_can_be_narrowed():
    generator, image = drawn("resnet"), torch.rand(1, 3, 16, 16) * 2 - 1
    net = freeze(generator, norm_statistics(generator.build(), [image])).build()
    graph = trace(net, [image])
    plan = graph.uniform_plan(0.5)
    assert torch.equal(SubNetwork(net, graph, plan)(image), materialise(net, graph, plan)(image))


def test_a_family_without_frozen_norms():
    strange = replace(drawn("resnet"), architecture=architecture_of("sngan_32", {}))
    with pytest.raises(ConfigError, match="got sngan_32, a family without frozen norms"):
        freeze(strange, {"norm": (torch.zeros(1), torch.ones(1))})


class Wave(nn.Module):
    """One norm of signals that runs twice, one of its own with running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv1d(2, 4, 3), nn.Conv1d(4, 1, 3)
        self.norm = nn.InstanceNorm1d(4, affine=True)
        self.again, self.tracked = self.norm, nn.InstanceNorm1d(1, track_running_stats=True)

    def forward(self, x):
        h = self.norm(self.enter(x))
        return self.tracked(self.leave(h + self.again(h)))


def test_norms_of_any_module_are_frozen_in_a_copy():
    torch.manual_seed(0)
    network, x = Wave().eval(), torch.randn(6, 2, 32)
    with torch.no_grad():
        network.norm.weight.uniform_(0.5, 1.5)
        network.tracked.running_mean.fill_(0.3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    frozen = gc.freeze_norms(network, x.split(2), num_images=4)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert isinstance(network.norm, nn.InstanceNorm1d)
    assert frozen.norm is frozen.again
    entered = network.enter(x[:4])
    seen = torch.cat([entered, network.norm(entered)])  # both calls of the norm
    torch.testing.assert_close(frozen.norm.running_mean, seen.mean(2).mean(0))
    torch.testing.assert_close(frozen.norm.running_var, seen.var(2, correction=0).mean(0))
    assert torch.equal(frozen.norm.weight, network.norm.weight)
    h = torch.randn(1, 1, 5)
    torch.testing.assert_close(frozen.tracked(h), network.tracked(h))  # fixed before, too
    assert frozen(x).shape == network(x).shape
    alone = gc.freeze_norms(nn.InstanceNorm2d(3), [torch.randn(2, 3, 4, 4)])
    assert isinstance(alone, FrozenNorm)


def test_a_network_without_instance_norms_is_refused():
    message = "freeze_norms: got Sequential, a network without instance norms, expected at least one nn.InstanceNorm1d"
    with pytest.raises(ConfigError, match=message):
        gc.freeze_norms(nn.Sequential(nn.BatchNorm2d(3)), [torch.randn(2, 3, 4, 4)])
