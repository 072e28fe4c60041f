"""Frozen norms: what they compute, that they stay so in training, and that nothing of them is left in a file."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from gancompress.channels import SubNetwork, materialise, trace
from gancompress.deploy.rewrites import rewritten
from gancompress.errors import ConfigError, DataError
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.generator import Generator
from gancompress.networks.layers import FrozenNorm
from gancompress.networks.registry import architecture_of, build
from gancompress.steps import FreezeNorms
from gancompress.steps.freeze_norms import frozen_generator, norm_statistics
from tests.steps.small_work import make_context, make_work

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
    frozen_generator(generator, statistics).save(tmp_path)
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
    net = frozen_generator(generator, norm_statistics(generator.build(), [image])).build()
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
    net = frozen_generator(generator, norm_statistics(generator.build(), [image])).build()
    graph = trace(net, [image])
    plan = graph.uniform_plan(0.5)
    assert torch.equal(SubNetwork(net, graph, plan)(image), materialise(net, graph, plan)(image))


def test_the_step_says_what_it_costs(tmp_path):
    work, context = make_work(), make_context(tmp_path, None)
    done = FreezeNorms(num_images=8).run(work, context)
    assert done.generator.config["norm"] == "frozen"
    assert done.teacher is work.teacher
    given = torch.cat([context.task.encode(batch["input"]) for batch in context.images("search", 6)])
    with torch.no_grad():
        difference = done.build()(given) - work.build()(given)
    assert done.facts["mean_difference"] == pytest.approx(float(difference.abs().mean()), rel=1e-4)
    assert done.facts["note"].startswith("7 instance norms frozen: PSNR to the network before ")


def test_what_cannot_be_frozen_is_said(tmp_path):
    context = make_context(tmp_path, None)
    with pytest.raises(DataError, match="num_images: got 9, but the training data has 8; lower it"):
        FreezeNorms(num_images=9).run(make_work(), context)
    with pytest.raises(ConfigError, match=r"got resnet, no instance norms; expected .* of one of resnet_6blocks, "):
        FreezeNorms(num_images=8).run(make_work("batch"), context)
    work = make_work()
    strange = replace(work.generator, architecture=architecture_of("sngan_32", {}))
    with pytest.raises(ConfigError, match="got sngan_32, a family without frozen norms"):
        frozen_generator(strange, {"norm": (torch.zeros(1), torch.ones(1))})
