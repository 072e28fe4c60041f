"""Training of a StyleGAN2: its regularisers in closed form, how often they come, and their optimizers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import InputSizeError
from gancompress.networks.families.stylegan2 import StyleGan2Generator
from gancompress.networks.registry import build
from gancompress.networks.styles import Mixing
from gancompress.tasks import STYLEGAN2_TERMS, StyleGan2Objective, StyleGan2Options, StyleGan2Regularisers
from gancompress.tasks.augmentation import AdaptiveAugmentation, AugmentationOptions
from gancompress.training import OptimizerOptions, TrainingOptions
from tests.tasks.small_stylegan2 import BATCH, SIZE, TASK, batch, trained
from tests.training.toy import Log


def networks(**options) -> StyleGan2Objective:
    torch.manual_seed(0)
    generator = build("stylegan2", {**SIZE, "latent_size": 6})
    assert isinstance(generator, StyleGan2Generator)
    judge = build("stylegan2_discriminator", SIZE)
    image = torch.zeros(1, 3, 16, 16)
    return StyleGan2Objective(TASK, generator, judge, STYLEGAN2_TERMS, image, StyleGan2Options(**options), BATCH)


class Slope(nn.Module):
    """A discriminator whose slope is known everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, image: Tensor) -> Tensor:
        return self.weight * image.sum((1, 2, 3))[:, None]


def test_adversarial_terms():
    objective, given = networks(style_mixing=0.0), batch()
    drawn = objective.forward(given, 0)
    judge = objective.modules["discriminator"]
    phases = {phase.name: phase for phase in objective.phases}
    assert list(phases) == ["discriminator", "discriminator_r1", "generator", "generator_path"]
    real, fake = judge(given["target"]), judge(drawn.image)
    loss = phases["discriminator"].loss(given, drawn)["gan"]
    assert loss.item() == pytest.approx((F.softplus(-real) + F.softplus(fake)).mean().item())
    assert phases["generator"].loss(given, drawn)["gan"].item() == pytest.approx(F.softplus(-fake).mean().item())


def test_r1_of_a_known_slope():
    objective = networks(r1=10.0, r1_every=16)
    objective.modules["discriminator"] = Slope()
    r1 = next(phase for phase in objective.phases if phase.name == "discriminator_r1")
    drawn = objective.forward(batch(), 0)
    assert r1.loss(batch(), drawn)["r1"].item() == pytest.approx(10 / 2 * 16 * 3 * 8 * 8 * 3.0**2)
    assert all(r1.loss(batch(), objective.forward(batch(), step * BATCH)) == {} for step in (1, 15, 17))
    assert r1.loss(batch(), objective.forward(batch(), 16 * BATCH))


class Painter(StyleGan2Generator):
    """Every pixel is the sum of the styles."""

    def forward(self, latent: Tensor, noise: object = None, mixed_with: Mixing | None = None) -> Tensor:
        return self.styles(latent, mixed_with).sum((1, 2))[:, None, None, None].expand(-1, 3, 8, 8)


def test_path_length_of_a_known_slope():
    """An image that is the same sum at all n pixels has slopes y / sqrt(pixels) summed, in each of L numbers."""
    objective = networks(path_length=2.0, path_length_every=4, path_length_share=0.5)
    objective.modules["generator"].__class__ = Painter
    path = next(phase for phase in objective.phases if phase.name == "generator_path")
    drawn = objective.forward(batch(), 0)
    state = torch.get_rng_state()
    loss = path.loss(batch(), drawn)["path_length"]
    torch.set_rng_state(state)
    StyleGan2Regularisers(StyleGan2Options(), BATCH).mixing(batch()["input"][:2], 4)
    direction = torch.randn(2, 3, 8, 8).sum((1, 2, 3)) / 8
    lengths = (6 * direction.square()).sqrt()  # the squares of 6 numbers, as a mean over the layers
    mean = lengths.mean()
    torch.testing.assert_close(objective.memory()["mean_path_length"], mean)
    torch.testing.assert_close(loss, 2 * 4 * (lengths - mean).square().mean())
    assert path.loss(batch(), objective.forward(batch(), BATCH)) == {}


def test_the_mean_path_length_is_that_of_all_lengths_until_there_are_a_hundred():
    regularisers = StyleGan2Regularisers(StyleGan2Options(path_length_every=4), BATCH)
    generator = networks().modules["generator"]
    generator.__class__ = Painter
    newest = {}
    for number in (0, 1, 9, 200):
        torch.manual_seed(0)
        regularisers.remember({"mean_path_length": torch.zeros(())})
        regularisers.path_loss(generator, batch()["input"], 4 * BATCH * number)
        newest[number] = regularisers.memory()[
            "mean_path_length"
        ].item()  # as far as it went from 0 to the same lengths
    assert [newest[number] / newest[0] for number in (1, 9, 200)] == pytest.approx([0.5, 0.1, 0.01])


def test_regularisers_share_optimizers_whose_memory_is_as_long_as_without_them():
    objective = networks(r1_every=16, path_length_every=4)
    options = TrainingOptions(optimizer=OptimizerOptions(learning_rate=0.002, betas=(0.0, 0.99)))
    made = {phase.name: objective.optimizers(phase, options) for phase in objective.phases}
    assert made["discriminator_r1"]["discriminator"] is made["discriminator"]["discriminator"]
    assert made["generator_path"]["generator"] is made["generator"]["generator"]
    for name, ratio in (("discriminator", 16 / 17), ("generator", 4 / 5)):
        (group,) = made[name][name].param_groups
        assert group["lr"] == pytest.approx(0.002 * ratio)
        assert group["betas"] == pytest.approx((0.0, 0.99**ratio))
    plain = networks(r1=0.0, path_length=0.0)
    assert [phase.name for phase in plain.phases] == ["discriminator", "generator"]
    (group,) = plain.optimizers(plain.phases[0], options)["discriminator"].param_groups
    assert (group["lr"], group["betas"]) == (0.002, (0.0, 0.99))


@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
def test_style_mixing(share):
    regularisers = StyleGan2Regularisers(StyleGan2Options(style_mixing=share), BATCH)
    drawn = [mixing for _ in range(100) if (mixing := regularisers.mixing(batch()["input"], 4)) is not None]
    assert {mixing.crossover for mixing in drawn} == ({1, 2, 3} if share else set())
    assert all(mixing.latent.shape == (BATCH, 6) for mixing in drawn)
    assert len(drawn) == {0.0: 0, 0.9: pytest.approx(90, abs=9), 1.0: 100}[share]


def train(directory: Path, log: Log | None = None, **others) -> dict[str, Tensor]:
    augmentation = AugmentationOptions(images_to_full=64, every=2)
    return trained(networks(r1_every=2, path_length_every=3, augmentation=augmentation), directory, log, **others)


def test_stopping_and_resuming_changes_no_bit(tmp_path):
    log = Log()
    straight = train(tmp_path / "a", log)
    assert {"discriminator_r1/r1", "generator_path/path_length", "generator/gan"} <= log.lines[0][1].keys()
    steps = iter(range(1, 100))
    stopped = train(tmp_path / "b", stop=lambda: next(steps) == 3)
    resumed = train(tmp_path / "b")
    assert all(torch.equal(resumed[name], straight[name]) for name in straight)
    assert any(not torch.equal(stopped[name], straight[name]) for name in straight)


def test_images_of_another_size_than_the_discriminator_takes():
    judge = build("stylegan2_discriminator", {"resolution": 16, "channel_max": 4})
    with pytest.raises(InputSizeError, match=r"got images of 8x8, expected 16x16; set its resolution to that of the"):
        judge(torch.zeros(2, 3, 8, 8))


class TestAugmentation:
    def test_never_and_always(self):
        images = torch.rand(64, 3, 16, 16)
        assert torch.equal(AdaptiveAugmentation(AugmentationOptions())(images), images)
        changed = AdaptiveAugmentation(AugmentationOptions(first=1.0))(images)
        assert (changed != images).flatten(1).any(1).all()

    def test_half_of_the_time(self):
        images = torch.rand(400, 3, 8, 8)
        augmentation = AdaptiveAugmentation(AugmentationOptions(first=0.2))
        unchanged = (augmentation(images) == images).flatten(1).all(1).float().mean().item()
        assert unchanged == pytest.approx(0.8**5, abs=0.08)

    def test_translation_moves_whole_pixels(self):
        from gancompress.tasks.augmentation import translate

        columns = torch.arange(16.0).expand(200, 3, 16, 16)
        moved = translate(columns)
        offsets = {int(image[0, 0, 8]) - 8 for image in moved}
        assert offsets == {-2, -1, 0, 1, 2}
        inner = moved[:, :, :, 3:12]
        assert torch.equal(inner.diff(dim=3), torch.ones_like(inner.diff(dim=3)))

    def test_gradients_reach_the_images(self):
        images = torch.rand(4, 3, 8, 8, requires_grad=True)
        AdaptiveAugmentation(AugmentationOptions(first=1.0))(images).square().sum().backward()
        assert images.grad is not None
        assert images.grad.flatten(1).any(1).all()

    @pytest.mark.parametrize(("share", "expected"), [(0.9, 0.5 + 0.1), (0.7, 0.5 - 0.1)])
    def test_the_probability_follows_the_signs(self, share, expected):
        """Of ten logits nine positive ones lean by 0.8, seven by 0.4; the target is 0.6."""
        augmentation = AdaptiveAugmentation(AugmentationOptions(first=0.5, images_to_full=400, every=4))
        logits = torch.where(torch.arange(10) < 10 * share, 2.0, -5.0)
        for step in range(3):
            augmentation.observe(logits, step, batch_size=10)
            assert augmentation.probability == 0.5
        augmentation.observe(logits, 3, batch_size=10)
        assert augmentation.probability == pytest.approx(expected)

    def test_memory(self):
        first, second = (AdaptiveAugmentation(AugmentationOptions(every=2)) for _ in range(2))
        first.observe(torch.ones(4), 0, 4)
        second.remember(first.memory())
        for augmentation in (first, second):
            augmentation.observe(torch.ones(4), 1, 4)
        assert first.probability == second.probability > 0
