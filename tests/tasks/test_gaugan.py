"""The GauGAN objective against its formulas, and the order of its updates."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.data import parse_data
from gancompress.errors import ConfigError
from gancompress.losses import L1, Adversarial, FeatureMatching, Perceptual, TermOptions
from gancompress.networks.registry import build
from gancompress.tasks import GauganObjective, SemanticTask, find_task
from gancompress.tasks.gaugan import in_one_batch
from gancompress.training import OptimizerOptions, TrainingOptions

GAN, MATCHING = Adversarial(1, balance=None), FeatureMatching(10)
JUDGE = {"ndf": 2, "in_channels": 7, "n_layers": 2}


def task() -> SemanticTask:
    data = parse_data({"kind": "labels", "transform": {"resize": "none"}, "classes": {"num_classes": 3}})
    found = find_task("semantic", data)
    assert isinstance(found, SemanticTask)
    return found


def batch(size: int = 64) -> dict[str, Tensor]:
    label = (torch.arange(2 * size * size) * 7 // 5 % 4).view(2, size, size)
    image = torch.linspace(-1, 1, 2 * 3 * size * size).sin().view(2, 3, size, size)
    return task().prepare({"label": label, "image": image}, "train", [0, 1])


class TrunkOfEdges(nn.Module):
    """Two maps of plain arithmetic, for the place of a trained network."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images[..., 1:] - images[..., :-1], images * images


@pytest.fixture
def trunk(tmp_path: Path) -> str:
    path = str(tmp_path / "trunk.pt")
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(TrunkOfEdges(), torch.zeros(1, 3, 64, 64)), path)
    return path


def objective(*terms: TermOptions, judge: nn.Module | None = None) -> GauganObjective:
    torch.manual_seed(0)
    generator = build("spade", {"ngf": 1, "in_channels": 4, "upsampling": "normal", "spectral_norm": True}).train()
    judge = (judge or build("multiscale_patchgan", JUDGE)).train()
    return GauganObjective(task(), generator, judge, terms or (GAN, MATCHING), torch.zeros(1, 3, 64, 64))


def test_the_terms_are_those_of_the_paper(trunk: str):
    learned = objective(GAN, MATCHING, Perceptual(10, published="spade", network=trunk, content=[0.5, 2.0]))
    twin = copy.deepcopy(learned.modules)
    seen = batch()
    losses = learned.phases[0].loss(seen, learned.forward(seen, 0))

    given = F.one_hot(seen["input"][:, 0].long(), 4).movedim(-1, 1).float()
    image = twin["generator"](given)
    pictures = torch.cat([torch.cat([given, image], 1), torch.cat([given, seen["target"]], 1)])
    outputs = twin["discriminator"](pictures)  # generated and real ones in one batch
    gan = -torch.stack([scale[-1][:2].mean() for scale in outputs]).mean()
    matching = [sum((m[:2] - m[2:]).abs().mean() for m in scale[:-1]) for scale in outputs]
    x, y = (image + 1) / 2, (seen["target"] + 1) / 2
    content = 0.5 * (x.diff(dim=3) - y.diff(dim=3)).abs().mean() + 2 * (x * x - y * y).abs().mean()
    torch.testing.assert_close(losses["gan"], gan)
    torch.testing.assert_close(losses["feature_matching"], 10 * sum(matching) / 2)
    torch.testing.assert_close(losses["perceptual"], 10 * content)


def test_the_discriminator_learns_from_what_the_updated_generator_draws():
    learned = objective()
    assert [phase.name for phase in learned.phases] == ["generator", "discriminator"]
    assert not learned.update_together
    seen = batch()
    given = learned.forward(seen, 0)
    with torch.no_grad():
        for parameter in learned.modules["generator"].parameters():
            parameter.mul_(1.5)  # an update
    twin = copy.deepcopy(learned.modules)
    loss = learned.phases[1].loss(seen, given)["gan"]
    with torch.no_grad():
        image = twin["generator"](given)
    fake, real = in_one_batch(twin["discriminator"], torch.cat([given, image], 1), learned.task.real(seen))
    both = [(1 + f[-1]).relu().mean() + (1 - r[-1]).relu().mean() for f, r in zip(fake, real, strict=True)]
    torch.testing.assert_close(loss, torch.stack(both).mean())  # the sum, not half of it
    gradients = torch.autograd.grad(loss, list(learned.modules["generator"].parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def test_two_learning_rates():
    learned = objective()
    optimizer = OptimizerOptions(learning_rate=1e-4, betas=(0.0, 0.9))
    options = TrainingOptions(optimizer=optimizer, discriminator_learning_rate=4e-4)
    found = {name: o for phase in learned.phases for name, o in learned.optimizers(phase, options).items()}
    groups = {name: o.param_groups[0] for name, o in found.items()}
    assert {name: group["lr"] for name, group in groups.items()} == {"generator": 1e-4, "discriminator": 4e-4}
    assert all(group["betas"] == (0.0, 0.9) for group in groups.values())


def test_a_term_of_weight_0_is_not_computed_and_no_discriminator_without_its_term():
    learned = objective(FeatureMatching(0), L1(2), Adversarial(0))
    assert [phase.name for phase in learned.phases] == list(learned.modules) == ["generator"]
    assert list(learned.phases[0].loss(batch(), learned.forward(batch(), 0))) == ["l1"]


def test_a_discriminator_without_maps():
    judge = build("patchgan", {"ndf": 2, "in_channels": 7, "n_layers": 1})
    learned = objective(judge=judge)
    with pytest.raises(ConfigError, match="feature matching: got a discriminator that returns logits alone, expected"):
        learned.phases[0].loss(batch(), learned.forward(batch(), 0))
    learned = objective(GAN, judge=judge)
    assert learned.phases[0].loss(batch(), learned.forward(batch(), 0)).keys() == {"gan"}


def test_pictures_to_look_at():
    learned = objective()
    for module in learned.modules.values():
        module.eval()
    with torch.no_grad():
        columns = learned.preview(batch(), learned.modules)
    assert list(columns) == ["label map", "teacher", "photograph"]
    assert all(images.shape == (2, 3, 64, 64) for images in columns.values())
