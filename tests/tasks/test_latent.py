"""Noise and classes: what they depend on, what the discriminator sees, and what a recipe may say."""

from __future__ import annotations

import pytest
import torch

from gancompress.errors import ConfigError, DataError
from gancompress.tasks import TASKS, LatentOptions, LatentTask, find_task

CLASSES = ("cat", "dog", "frog")


def real(names: list[str]) -> dict:
    images = torch.linspace(-1, 1, len(names) * 12).view(len(names), 3, 2, 2)
    return {"input": images, "name": names, "index": torch.arange(len(names))}


def test_noise_depends_on_seed_split_and_number_alone():
    task = LatentTask(latent_size=16)
    names = ["a", "b", "c", "d"]
    whole = task.prepare(real(names), "test", range(4))["input"]
    assert whole.shape == (4, 16)
    assert whole.dtype == torch.float32
    again = task.prepare(real(["x", "y"]), "test", [3, 1])["input"]
    assert torch.equal(again, whole[[3, 1]])
    others = [
        task.prepare(real(names), "search", range(4))["input"],
        task.prepare(real(names), "test", range(4), seed=1)["input"],
        task.prepare(real(names), "test", range(4, 8))["input"],
    ]
    rows = torch.cat([whole, *others])
    assert len(rows.unique(dim=0)) == 16


def test_noise_is_standard_normal():
    task = LatentTask(latent_size=32)
    noise = task.prepare(real(["x"] * 500), "train", range(500))["input"]
    assert noise.mean().abs() < 0.03
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert torch.corrcoef(noise)[0, 1:].abs().max() < 0.8


def test_real_images_are_the_targets_and_nothing_is_paired():
    task, batch = find_task("latent"), real(["a", "b"])
    prepared = task.prepare(batch, "train", range(2))
    assert prepared["target"] is batch["input"]
    assert prepared["name"] == ["a", "b"]
    image = torch.zeros(2, 3, 2, 2)
    assert task.seen(prepared, image) is image
    assert torch.equal(task.real(prepared), batch["input"])
    assert task.answer(prepared, image) is image
    assert task.columns(prepared, {"teacher": image}) == {"teacher": image}
    assert task.discriminator_channels(128, 3) == 3
    assert task.generator_options() == {"latent_size": 128, "num_classes": 0}
    both = {**batch, "target": torch.ones(2, 3, 2, 2)}
    assert task.prepare(both, "train", range(2))["target"] is both["target"]


def test_classes_come_from_folders_and_go_to_both_networks():
    task = LatentTask(latent_size=5, classes=CLASSES)
    batch = task.prepare(real(["dog/1", "cat/x/2"]), "train", range(2))
    assert torch.equal(batch["input"][:, 5:], torch.tensor([[0.0, 1, 0], [1, 0, 0]]))
    assert torch.equal(batch["input"][:, :5], LatentTask(latent_size=5).prepare(batch, "train", range(2))["input"])
    seen = task.seen(batch, torch.full((2, 3, 4, 6), 0.5))
    assert seen.shape == (2, task.discriminator_channels(8, 3), 4, 6)
    assert torch.equal(seen[:, :3], torch.full((2, 3, 4, 6), 0.5))
    assert torch.equal(seen[0, 3:].mean((1, 2)), torch.tensor([0.0, 1, 0]))
    assert (seen[1, 3] == 1).all()
    assert task.generator_options() == {"latent_size": 5, "num_classes": 3}


@pytest.mark.parametrize("name", ["horse/1", "1"])
def test_an_image_without_a_class(name):
    with pytest.raises(DataError, match=rf"{name}: got an image in '{name[:-2] or 1}', expected a folder of a class"):
        LatentTask(classes=CLASSES).prepare(real([name]), "train", [0])


def test_how_recipes_write_tasks():
    assert TASKS.parse("latent") == LatentOptions()
    options = TASKS.parse({"kind": "latent", "latent_size": 64, "classes": ["cat", "dog"]})
    assert find_task(options) == LatentTask(latent_size=64, classes=("cat", "dog"))
    assert TASKS.parse(options) is options
    assert TASKS.parse(options.model_dump(mode="json")) == options
    assert find_task("latent") == find_task(LatentOptions()) == LatentTask()
    assert find_task("unpaired").prepare(real(["a"]), "test", [0]).keys() == {"input", "name", "index"}


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("laten", r"got 'laten', expected a task; did you mean 'latent'\?"),
        ("stylize", "got 'stylize', which is called 'imitate' now; write that"),
        ({"kind": "stylize"}, "kind: got 'stylize', which is called 'imitate' now; write that"),
        (3, "got 3, expected a task; known: imitate, latent, paired, semantic, unpaired"),
        ({"latent_size": 3}, "kind: got nothing, expected a task"),
        ({"kind": "paired", "size": 1}, "size: unknown option"),
        ({"kind": "latent", "latent": 3}, r"latent: unknown option, did you mean 'latent_size'\?"),
        ({"kind": "latent", "latent_size": 0}, "latent_size: got 0, expected greater than or equal to 1"),
    ],
)
def test_tasks_that_are_none(task, message):
    with pytest.raises(ConfigError, match=message):
        TASKS.parse(task)
