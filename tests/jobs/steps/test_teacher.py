"""Teachers from noise: what follows from the task, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from gancompress.data import parse_data
from gancompress.errors import ConfigError, Interrupted
from gancompress.jobs.run_log import RunLog
from gancompress.jobs.steps import StepRun, TrainTeacher, Work
from gancompress.tasks import LatentOptions, find_task
from gancompress.tasks.inputs import Inputs
from tests.data.pictures import save_many
from tests.jobs.steps.small_work import Surroundings

CLASSES = ("cat", "dog")


def surroundings(folder: Path, task: str | LatentOptions = "latent", name: str = "run", **others) -> Surroundings:
    images = folder / "images"
    if not images.exists():
        for split in ("train", "test"):
            for number, kind in enumerate(CLASSES):
                save_many(images / split / kind, 4, first=10 * number, height=16, width=16)
    data = parse_data({"kind": "images", "root": str(images), "transform": {"load_size": 16, "crop_size": 16}})
    directory = folder / name
    directory.mkdir(exist_ok=True)
    log = RunLog(directory, lambda _: None)
    return Surroundings(Inputs(find_task(task), data), StepRun(directory, log, Accelerator(cpu=True), **others))


def step(**changes) -> TrainTeacher:
    options = {
        "network": {"family": "sngan", "config": {"ngf": 2, "num_blocks": 2}},
        "discriminator": {"family": "sngan_discriminator", "config": {"ndf": 4, "num_plain": 1}},
        "sngan": {"num_critic": 2},
        "training": {"num_images": 16, "batch_size": 4, "log_every": 8, "checkpoint_every": 4, "ema_half_life": 8},
    }
    return TrainTeacher(**{**options, **changes})


def run(how: TrainTeacher, where: Surroundings) -> Work:
    return how.run(None, *where)  # type: ignore[arg-type]


def test_sizes_follow_from_the_task_and_samples_are_drawn(tmp_path):
    where = surroundings(tmp_path, LatentOptions(latent_size=6, classes=CLASSES))
    judge = {"family": "sngan_discriminator", "config": {"ndf": 4, "num_plain": 1, "num_classes": 2}}
    work = run(step(discriminator=judge), where)
    assert (work.teacher.config["latent_size"], work.teacher.config["num_classes"]) == (6, 2)
    assert work.discriminator is not None
    assert work.discriminator.config["in_channels"] == 5
    assert [path.name for path in (where.run.directory / "previews").iterdir()] == ["000000016.png"]
    batch = where.inputs.first_images("test", 8)
    assert batch["input"].shape == (8, 8)
    assert batch["input"][:, 6:].argmax(1).tolist() == [0] * 4 + [1] * 4
    assert work.teacher.build()(batch["input"]).shape == batch["target"].shape
    assert torch.equal(where.inputs.example(), batch["input"][:1])


def test_stopping_and_resuming_changes_no_bit(tmp_path):
    straight = run(step(), surroundings(tmp_path, name="a"))
    asked = iter(range(100))
    with pytest.raises(Interrupted):
        run(step(), surroundings(tmp_path, name="b", stop=lambda: next(asked) == 1))
    resumed = run(step(), surroundings(tmp_path, name="b"))
    state = straight.teacher.state
    assert all(torch.equal(resumed.teacher.state[name], state[name]) for name in state)


def test_training_noise_is_never_drawn_twice_and_evaluation_always_draws_the_same(tmp_path):
    where = surroundings(tmp_path, seed=5)
    stream = iter(where.inputs.loader(where.run.seed)(0, 4))
    first = [next(stream)["input"] for _ in range(5)]  # two epochs and a half
    assert len(torch.cat(first).unique(dim=0)) == 20
    assert torch.equal(next(iter(where.inputs.loader(where.run.seed)(12, 4)))["input"], first[3])
    other = surroundings(tmp_path, seed=6)
    assert not torch.equal(next(iter(other.inputs.loader(other.run.seed)(0, 4)))["input"], first[0])
    shown = [
        torch.cat([batch["input"] for batch in c.inputs.images("test", size)]) for c, size in ((where, 3), (other, 8))
    ]
    assert torch.equal(*shown)


def stylegan2_step(**changes) -> TrainTeacher:
    size = {"resolution": 16, "channel_max": 4}
    options = {
        "network": {"family": "stylegan2", "config": size},
        "discriminator": {"family": "stylegan2_discriminator", "config": size},
        "stylegan2": {"r1_every": 2, "path_length_every": 2},
    }
    return step(**{**options, **changes})


def test_a_stylegan2_is_trained_by_its_own_game(tmp_path):
    where = surroundings(tmp_path, LatentOptions(latent_size=6))
    work = run(stylegan2_step(), where)
    assert (work.teacher.family, work.teacher.config["latent_size"]) == ("stylegan2", 6)
    assert work.discriminator is not None
    assert work.discriminator.family == "stylegan2_discriminator"
    assert "generator_path/path_length" in (where.run.directory / "losses.jsonl").read_text()
    with pytest.raises(ConfigError, match="got micro_batches 2, expected 1 for a StyleGAN2"):
        run(stylegan2_step(training={"batch_size": 4, "micro_batches": 2}), where)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sngan": {"num_critic": 3}},
            r"got batch_size 4 and micro_batches 1, expected a multiple of 3, for 1 processes",
        ),
        (
            {"training": {"batch_size": 4, "micro_batches": 2}},
            "got batch_size 4 and micro_batches 2, .* micro_batches 1",
        ),
        (
            {"network": {"family": "sngan", "config": {"latent_size": 7}}},
            "sngan.latent_size: got 7, but the task needs 128",
        ),
    ],
)
def test_options_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        run(step(**changes), surroundings(tmp_path))


def test_an_imitated_teacher_is_not_trained(tmp_path):
    with pytest.raises(ConfigError, match="got the task 'imitate', expected a generator that is trained already; give"):
        run(step(), surroundings(tmp_path, "imitate"))
