"""Teachers' objectives against their formulas, and the image pool."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancompress.errors import ConfigError
from gancompress.losses import L1, TERMS, Adversarial, Cycle, FeatureMatching, Features, Perceptual, TotalVariation
from gancompress.networks.registry import build
from gancompress.tasks import (
    CYCLEGAN_TERMS,
    PIX2PIX_TERMS,
    CycleGanObjective,
    CycleGanOptions,
    Pix2PixObjective,
    TeacherTerms,
    find_task,
    pair_of_labels,
)
from gancompress.tasks.cyclegan import ImagePool
from tests.outside.edges import brightness

IMAGE = torch.zeros(1, 3, 8, 8)
GAN = Adversarial(1, balance=None)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return {"input": torch.randn(2, 3, 8, 8).tanh(), "target": torch.randn(2, 3, 8, 8).tanh()}


def test_what_the_discriminator_sees(batch):
    image = torch.zeros(2, 3, 8, 8)
    paired, unpaired = find_task("paired"), find_task("unpaired")
    assert torch.equal(paired.seen(batch, image), torch.cat([batch["input"], image], 1))
    assert torch.equal(unpaired.seen(batch, image), image)
    assert (paired.discriminator_channels(3, 1), unpaired.discriminator_channels(3, 1)) == (4, 1)
    assert torch.equal(paired.answer(batch, image), batch["target"])
    assert torch.equal(unpaired.answer(batch, image), image)


def test_label_maps_become_one_hot_inputs():
    label = torch.tensor([[[0, 2], [1, 2]]])
    image = torch.zeros(1, 3, 2, 2)
    pair = pair_of_labels({"label": label, "image": image}, 3)
    assert pair["target"] is image
    assert pair["input"].shape == (1, 3, 2, 2)
    assert torch.equal(pair["input"].argmax(1), label)
    assert set(pair["input"].unique().tolist()) == {-1.0, 1.0}


def test_pix2pix_terms(batch):
    generator, discriminator = nn.Conv2d(3, 3, 1), nn.Conv2d(6, 1, 1)
    objective = Pix2PixObjective(find_task("paired"), generator, discriminator, (GAN, L1(7)), IMAGE)
    image = objective.forward(batch, 0)
    discriminator_phase, generator_phase = objective.phases
    real = discriminator(torch.cat([batch["input"], batch["target"]], 1))
    fake = discriminator(torch.cat([batch["input"], image], 1))
    hinge = 0.5 * ((1 - real).relu().mean() + (1 + fake).relu().mean())
    assert discriminator_phase.loss(batch, image)["gan"].item() == pytest.approx(hinge.item())
    terms = generator_phase.loss(batch, image)
    assert terms["gan"].item() == pytest.approx(-fake.mean().item())
    assert terms["l1"].item() == pytest.approx(7 * (image - batch["target"]).abs().mean().item())


def test_the_discriminators_loss_does_not_reach_the_generator(batch):
    generator, discriminator = nn.Conv2d(3, 3, 1), nn.Conv2d(6, 1, 1)
    objective = Pix2PixObjective(find_task("paired"), generator, discriminator, PIX2PIX_TERMS, IMAGE)
    objective.phases[0].loss(batch, objective.forward(batch, 0))["gan"].backward()
    assert generator.weight.grad is None
    assert discriminator.weight.grad is not None


def test_pix2pix_with_terms_of_ones_own(batch):
    """A bound of the adversarial gradient, maps of the discriminator, a regulariser, and a function."""
    generator = nn.Conv2d(3, 3, 1)
    judge = build("multiscale_patchgan", {"ndf": 2, "in_channels": 6, "n_layers": 1})
    batch = {name: each.repeat(1, 1, 4, 4) for name, each in batch.items()}
    terms = (Adversarial(1000, balance=0.5), FeatureMatching(2), TotalVariation(3), brightness)
    objective = Pix2PixObjective(find_task("paired"), generator, judge, [TERMS.parse(each) for each in terms], IMAGE)
    losses = objective.phases[1].loss(batch, image := objective.forward(batch, 0))
    assert list(losses) == ["gan", "feature_matching", "total_variation", "brightness"]
    assert losses["brightness"].item() == pytest.approx(brightness(image, batch["target"]).item())
    gradients = [torch.autograd.grad(loss, image, retain_graph=True)[0] for loss in losses.values()]
    assert gradients[0].norm().item() == pytest.approx(0.5 * sum(gradients[1:]).norm().item(), rel=1e-4)


TEACHERLESS = {
    "a teacher's maps": ((Features(1), GAN), False, "terms: got features, which compares maps, but training without a"),
    "the opposite direction": (
        (Cycle(1), GAN),
        False,
        "got cycle, which compares cycle, .*; expected some of: .* l1, ",
    ),
    "a teacher's images": ((Adversarial(1, real="both"),), False, "gan: real: got 'both' without a teacher, expected"),
    "no discriminator": ((L1(1),), True, "terms: got none that is adversarial, expected {kind: gan, weight: 1, bal"),
    "images of one channel": ((Perceptual(1),), False, "perceptual: got images of 1 channels, expected 3; remove"),
}


@pytest.mark.parametrize("case", TEACHERLESS)
def test_terms_that_do_not_fit(case):
    terms, adversarial, message = TEACHERLESS[case]
    with pytest.raises(ConfigError, match=message):
        TeacherTerms(terms, torch.zeros(1, 1, 8, 8), ["images", "logits"], adversarial=adversarial)


def translators() -> dict[str, nn.Module]:
    names = ("generator", "generator_back", "discriminator", "discriminator_back")
    return {name: nn.Conv2d(3, 1 if "dis" in name else 3, 1) for name in names}


def test_cyclegan_with_terms_of_ones_own(batch):
    networks, task = translators(), find_task("unpaired")
    terms = (GAN, L1(3), TERMS.parse({"kind": "identity", "distance": "l2"}))
    objective = CycleGanObjective(task, networks, terms, IMAGE, CycleGanOptions())
    made = objective.forward(batch, 0)
    assert (made.again_a, made.again_b) == (None, None), "no term compares them"
    losses = objective.phases[0].loss(batch, made)
    assert list(losses) == ["gan", "gan_back", "l1", "l1_back", "identity", "identity_back"]
    a = batch["input"]
    expected = {
        "l1": 3 * (networks["generator"](a) - a).abs().mean(),
        "identity_back": (networks["generator_back"](a) - a).square().mean(),
    }
    for name, loss in expected.items():
        assert losses[name].item() == pytest.approx(loss.item())


def test_cyclegan_terms(batch):
    networks = translators()
    objective = CycleGanObjective(find_task("unpaired"), networks, CYCLEGAN_TERMS, IMAGE, CycleGanOptions())
    there, back = networks["generator"], networks["generator_back"]
    a, b = batch["input"], batch["target"]
    made = objective.forward(batch, 0)
    terms = objective.phases[0].loss(batch, made)
    expected = {
        "gan": (networks["discriminator"](there(a)) - 1).square().mean(),
        "gan_back": (networks["discriminator_back"](back(b)) - 1).square().mean(),
        "cycle": 10 * (back(there(a)) - a).abs().mean(),
        "cycle_back": 10 * (there(back(b)) - b).abs().mean(),
        "identity": 5 * (there(b) - b).abs().mean(),
        "identity_back": 5 * (back(a) - a).abs().mean(),
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {name: term.item() for name, term in expected.items()}
    )
    pools = objective.phases[1].loss(batch, made)
    judge = networks["discriminator"]
    lsgan = 0.5 * ((judge(b) - 1).square().mean() + judge(there(a)).square().mean())
    assert pools["gan"].item() == pytest.approx(lsgan.item())
    assert {name: tuple(images.shape) for name, images in objective.memory().items()} == {
        "a": (2, 3, 8, 8),
        "b": (2, 3, 8, 8),
    }


def test_the_pool_shows_old_images_half_of_the_time_and_keeps_its_size():
    torch.manual_seed(0)
    pool = ImagePool(10)
    first = torch.arange(10.0).view(10, 1, 1, 1)
    assert torch.equal(pool.exchange(first), first)
    shown = torch.cat([pool.exchange(torch.full((1, 1, 1, 1), 100.0 + i)) for i in range(400)]).flatten()
    old = (shown != 100 + torch.arange(400)).float().mean().item()
    assert 0.4 < old < 0.6
    assert len(pool.images) == 10
    assert ImagePool(0).exchange(first).equal(first)


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(ConfigError, match=r"task: got 'pared', expected a task; did you mean 'paired'\?"):
        find_task("pared")
