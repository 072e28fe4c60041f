"""Training of SNGAN: several updates of the discriminator, each on its part of the batch, and one of the generator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.networks.registry import build
from gancompress.tasks import SNGAN_TERMS, LatentTask, SnganObjective, SnganOptions
from gancompress.training import Checkpoints, OptimizerOptions, TrainingOptions, fit
from tests.training.toy import Log

TASK = LatentTask(latent_size=6, classes=("a", "b"))
NUM_CRITIC = 3
IMAGE = torch.zeros(1, 3, 2, 2)


class Judge(nn.Module):
    """Logits that tell which images it was shown: their mean, and the weight of their classes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5))

    def forward(self, image: Tensor) -> Tensor:
        return (image.mean((2, 3)) * self.weight).sum(1, keepdim=True)


class Painter(nn.Module):
    """An image of one colour from the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, latent: Tensor) -> Tensor:
        return self.layer(latent[:, :6])[:, :, None, None].expand(-1, -1, 2, 2)


def batch(num_images: int, start: int = 0) -> dict:
    draw = torch.Generator().manual_seed(start)
    images = torch.randn(num_images, 3, 2, 2, generator=draw).tanh()
    names = [f"{'ab'[i % 2]}/{i}" for i in range(num_images)]
    return dict(TASK.prepare({"input": images, "name": names}, "train", range(start, start + num_images)))


def rows(given: dict, chosen: slice) -> dict:
    return {name: value[chosen] for name, value in given.items()}


def test_terms():
    painter, judge, given = Painter(), Judge(), batch(12)
    objective = SnganObjective(TASK, painter, judge, SNGAN_TERMS, IMAGE, SnganOptions(num_critic=NUM_CRITIC))
    images = objective.forward(given, 0)
    torch.testing.assert_close(images, painter(given["input"]))  # drawn in parts, which may round otherwise
    *critics, generator = objective.phases
    assert [phase.name for phase in critics] == ["discriminator"] * NUM_CRITIC
    for part, phase in enumerate(critics):
        chosen = slice(4 * part, 4 * part + 4)
        shown = rows(given, chosen)
        real = judge(TASK.seen(shown, shown["target"]))
        fake = judge(TASK.seen(shown, images[chosen]))
        expected = (1 - real).relu().mean() + (1 + fake).relu().mean()
        assert phase.loss(given, images)["gan"].item() == pytest.approx(expected.item())
    seen = TASK.seen(rows(given, slice(8)), images[:8])  # two of the three parts
    assert generator.loss(given, images)["gan"].item() == pytest.approx(-judge(seen).mean().item())


def test_gradients_reach_only_what_a_phase_updates():
    painter, judge, given = Painter(), Judge(), batch(12)
    objective = SnganObjective(
        TASK, painter, judge, SNGAN_TERMS, IMAGE, SnganOptions(num_critic=NUM_CRITIC, generator_parts=1)
    )
    images = objective.forward(given, 0)
    for phase in objective.phases[:-1]:
        phase.loss(given, images)["gan"].backward()
    assert painter.layer.weight.grad is None
    assert judge.weight.grad is not None
    (gradient,) = torch.autograd.grad(images.sum(), painter.layer.bias)
    assert torch.allclose(gradient, torch.full((3,), 4.0 * 4))  # of 4 images of 2x2 pixels, the first part


def options(num_images: int = 48, **others) -> TrainingOptions:
    return TrainingOptions(
        num_images=1,
        num_decay_images=num_images - 1,
        batch_size=12,
        ema_half_life=24,
        optimizer=OptimizerOptions(learning_rate=0.1, betas=(0.0, 0.9)),
        checkpoint_every=12,
        log_every=24,
        **others,
    )


def loader(start: int, batch_size: int):
    while True:
        yield batch(batch_size, start)
        start += batch_size


def test_a_step_updates_the_discriminator_on_each_part_and_the_generator_once(tmp_path):
    """One step of the loop against the updates written out, with one optimizer for each network."""
    adam = OptimizerOptions(learning_rate=0.1, betas=(0.0, 0.9))
    how, log = TrainingOptions(batch_size=12, num_images=12, log_every=12, optimizer=adam), Log()
    torch.manual_seed(1)
    painter, judge = Painter(), Judge()
    objective = SnganObjective(TASK, painter, judge, SNGAN_TERMS, IMAGE, SnganOptions(num_critic=NUM_CRITIC))
    torch.manual_seed(1)
    expected_painter, expected_judge = Painter(), Judge()
    fit(objective, how, loader, Checkpoints(tmp_path), Accelerator(cpu=True), log)

    adams = [torch.optim.Adam(net.parameters(), lr=0.1, betas=(0.0, 0.9)) for net in (expected_judge, expected_painter)]
    given = batch(12)
    images, losses = expected_painter(given["input"]), []
    for part in range(NUM_CRITIC):
        shown = rows(given, slice(4 * part, 4 * part + 4))
        real = expected_judge(TASK.seen(shown, shown["target"]))
        fake = expected_judge(TASK.seen(shown, images[4 * part : 4 * part + 4].detach()))
        losses.append((1 - real).relu().mean() + (1 + fake).relu().mean())
        adams[0].zero_grad()
        losses[-1].backward()
        adams[0].step()
    adams[1].zero_grad()
    (-expected_judge(TASK.seen(rows(given, slice(8)), images[:8])).mean()).backward()
    adams[1].step()
    torch.testing.assert_close(judge.weight, expected_judge.weight)
    torch.testing.assert_close(painter.layer.weight, expected_painter.layer.weight)
    assert log.lines[0][1]["discriminator"] == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def networks() -> SnganObjective:
    torch.manual_seed(0)
    generator = build("sngan", {"ngf": 2, "num_blocks": 2, "bottom_size": 2, "latent_size": 6, "num_classes": 2})
    judge = build("sngan_discriminator", {"ndf": 4, "num_plain": 1, "in_channels": 5, "num_classes": 2})
    return SnganObjective(TASK, generator, judge, SNGAN_TERMS, IMAGE, SnganOptions(num_critic=NUM_CRITIC))


def train(objective: SnganObjective, directory: Path, **others) -> dict[str, Tensor]:
    def images(start: int, batch_size: int):
        for given in loader(start, batch_size):
            yield {**given, "target": given["target"].repeat(1, 1, 4, 4)}

    fit(objective, options(), images, Checkpoints(directory), Accelerator(cpu=True), Log(), seed=3, **others)
    state = {}
    for name, module in objective.modules.items():
        state |= {f"{name}.{key}": value.clone() for key, value in module.state_dict().items()}
    return state


@pytest.mark.parametrize("stop_at", [1, 3])
def test_stopping_and_resuming_changes_no_bit(tmp_path, stop_at):
    straight = train(networks(), tmp_path / "a")
    steps = iter(range(1, 100))
    stopped = train(networks(), tmp_path / "b", stop=lambda: next(steps) == stop_at)
    resumed = train(networks(), tmp_path / "b")
    assert all(torch.equal(resumed[name], straight[name]) for name in straight)
    assert any(not torch.equal(stopped[name], straight[name]) for name in straight)


def test_spectral_norm_holds_while_training(tmp_path):
    objective = networks()
    train(objective, tmp_path)
    weight = objective.modules["discriminator"].eval().get_submodule("blocks.1.conv1").weight
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, rel=0.2)


def test_a_batch_without_equal_parts():
    objective = SnganObjective(TASK, Painter(), Judge(), SNGAN_TERMS, IMAGE, SnganOptions(num_critic=5))
    with pytest.raises(
        ConfigError, match=r"batch_size: got 12 images for each process, expected a multiple of num_cri"
    ):
        objective.forward(batch(12), 0)


def test_one_update_each():
    objective = SnganObjective(TASK, Painter(), Judge(), SNGAN_TERMS, IMAGE, SnganOptions(num_critic=1))
    assert [phase.name for phase in objective.phases] == ["discriminator", "generator"]
    assert objective.forward(batch(4), 0).requires_grad
