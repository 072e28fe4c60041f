from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gancompress.losses.adversarial import AdversarialLoss
from gancompress.losses.feature_matching import feature_matching
from gancompress.networks.generator import Generator
from gancompress.networks.registry import architecture_of, build

CONFIG = {"ndf": 4, "in_channels": 5}


def images() -> tuple[Tensor, Tensor]:
    """A real and a generated one, with their label map in the first channels."""
    real = torch.linspace(-1, 1, 2 * 5 * 32 * 32).sin().view(2, 5, 32, 32)
    return real, real.flip(3)


def test_feature_maps_of_the_published_sizes() -> None:
    scales = architecture_of("multiscale_patchgan", {}).skeleton()(torch.zeros(1, 39, 256, 512, device="meta"))
    assert [tuple(features.shape[1:]) for features in scales[0]] == [
        (64, 129, 257),
        (128, 65, 129),
        (256, 33, 65),
        (512, 34, 66),
        (1, 35, 67),
    ]
    assert [tuple(features.shape[1:]) for features in scales[1]] == [
        (64, 65, 129),
        (128, 33, 65),
        (256, 17, 33),
        (512, 18, 34),
        (1, 19, 35),
    ]


def test_the_second_scale_sees_the_averaged_image() -> None:
    network = build("multiscale_patchgan", CONFIG).eval()
    image, _ = images()
    inside = nn.functional.unfold(image, 3, padding=1, stride=2).view(2, 5, 9, 16, 16).sum(2)
    count = nn.functional.unfold(torch.ones_like(image), 3, padding=1, stride=2).view(2, 5, 9, 16, 16).sum(2)
    expected = network.get_submodule("scales.1")(inside / count)
    for got, wanted in zip(network(image)[1], expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_spectral_norm_before_every_instance_norm() -> None:
    network = architecture_of("multiscale_patchgan", CONFIG).skeleton()
    normed = {path for path, m in network.named_modules() if parametrize.is_parametrized(m)}
    assert normed == {f"scales.{s}.layers.{i}.conv" for s in (0, 1) for i in (1, 2, 3)}
    assert all(getattr(network.get_submodule(path), "bias", 0) is None for path in normed)
    plain = architecture_of("multiscale_patchgan", {**CONFIG, "spectral_norm": False}).skeleton()
    assert not any(parametrize.is_parametrized(m) for m in plain.modules())


def test_losses_take_what_it_returns() -> None:
    """The hinge loss is the mean over the scales' logits; feature matching, the same with all other maps."""
    network = build("multiscale_patchgan", CONFIG)
    real, fake = (network(image) for image in images())
    hinge = AdversarialLoss("hinge")
    by_hand = [(1 - r[-1]).relu().mean() + (1 + f[-1]).relu().mean() for r, f in zip(real, fake, strict=True)]
    torch.testing.assert_close(hinge.discriminator(real, fake), torch.stack(by_hand).mean())
    torch.testing.assert_close(hinge.generator(fake), -torch.stack([f[-1].mean() for f in fake]).mean())
    matching = [
        sum((f - r).abs().mean() for f, r in zip(a[:4], b[:4], strict=True)) for a, b in zip(fake, real, strict=True)
    ]
    torch.testing.assert_close(feature_matching(fake, real), torch.stack(matching).mean())


@pytest.mark.parametrize("num_scales", [1, 3])
def test_number_of_scales(num_scales: int) -> None:
    network = build("multiscale_patchgan", {**CONFIG, "num_scales": num_scales})
    assert [len(maps) for maps in network(images()[0])] == [5] * num_scales


@pytest.mark.parametrize("how", ["saved and loaded", "copied"])
def test_training_goes_on_the_same(how: str, tmp_path: Path) -> None:
    network = build("multiscale_patchgan", CONFIG)
    network(images()[0])
    if how == "copied":
        other = copy.deepcopy(network)
    else:
        Generator.from_module(network, "multiscale_patchgan", CONFIG).save(tmp_path)
        other = Generator.load(tmp_path).build().train()
    for image in images():
        assert torch.equal(network(image)[1][-1], other(image)[1][-1])
