"""A whole job of the semantic task at a tiny size: GauGAN taught, distilled, searched and exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from gancompress.cli.sources import InputChoices, job_of, open_network
from gancompress.errors import ConfigError, DataError, InputSizeError
from gancompress.jobs.outcome import Outcome
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import Job
from gancompress.jobs.summary import summarise
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.tasks import find_task
from tests.cli.verbs import run
from tests.data.pictures import save
from tests.deploy.benchmark.in_process import workers_as_threads

onnxruntime = pytest.importorskip("onnxruntime", reason="exports to ONNX, which is not installed")
pytestmark = pytest.mark.slow  # nearly all of them look at one whole job

NETWORK = {"ngf": 4, "upsampling": "normal"}
JUDGE = {"family": "multiscale_patchgan", "config": {"ndf": 2, "n_layers": 2}}
TRAINING = {
    "num_images": 8,
    "batch_size": 4,
    "log_every": 4,
    "checkpoint_every": 4,
    "ema_half_life": 4,
    "optimizer": {"learning_rate": 2e-3, "betas": [0.0, 0.9]},
    "discriminator_learning_rate": 8e-3,
}
LEARN = {"terms": [{"kind": "features", "weight": 10}, {"kind": "feature_matching", "weight": 10}, {"kind": "gan"}]}


def make_data(root: Path) -> None:
    """Street scenes of two classes and one unknown corner, each with two objects; brightness tells the class."""
    for split, count in (("train", 8), ("val", 4), ("test", 4)):
        for number in range(count):
            labels = np.zeros((64, 96), np.uint8)
            labels[:, 12 * number % 90 :] = 1
            labels[:8, :8] = 255
            photo = np.where(labels == 1, 200, 60)[..., None].repeat(3, 2).astype(np.uint8)
            photo[..., 0] += np.arange(96, dtype=np.uint8) // 3
            save(root / split / "images" / f"{number}.png", photo)
            save(root / split / "labels" / f"{number}.png", labels)
            save(root / split / "instances" / f"{number}.png", np.where(labels == 1, 26_001, 7).astype(np.uint16))


def job(root: Path, **changes) -> Job:
    options = {
        "name": "tiny",
        "task": "semantic",
        "data": {
            "kind": "labels",
            "root": str(root),
            "instances": "{folder}/instances",
            "classes": {"num_classes": 2, "names": ["road", "car"]},
            "transform": {"resize": "none"},
            "splits": {"train": {"folder": "train"}, "search": {"folder": "val"}, "test": {"folder": "test"}},
        },
        "teacher": {
            "train": {
                "network": {"family": "spade", "config": {**NETWORK, "spectral_norm": True}},
                "discriminator": JUDGE,
                "terms": [{"kind": "gan", "balance": None}, {"kind": "feature_matching", "weight": 10}],
                "training": TRAINING,
            }
        },
        "budget": {"reduction": 3},
        "steps": [
            {
                "kind": "supernet",
                "network": {"family": "mobile_spade", "config": NETWORK},
                "space": {"multiple": 1, "max_choices": 2},
                "distillation": LEARN,
                "training": TRAINING,
            },
            {
                "kind": "search",
                "metric": "ssim",
                "space": {"multiple": 1, "max_choices": 2},
                "options": {"method": "random", "num_candidates": 2},
            },
        ],
        "metrics": {"against_real": ["ssim"], "against_teacher": ["ssim"], "batch_size": 4},
        "exports": ["onnx_fixed"],
    }
    return Job(**{**options, **changes})


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> Outcome:
    root = tmp_path_factory.mktemp("streets")
    make_data(root)
    result = Pipeline(job(root), root / "run", lambda _: None).run()
    assert result is not None
    return result


def example(outcome: Outcome) -> tuple[torch.Tensor, torch.Tensor]:
    """What the first test image is to the export, and to the generator."""
    task = find_task(outcome.job.task, outcome.job.data)
    item = outcome.job.data.open("test")[1]
    batch = {role: item[role][None] for role in ("label", "image", "instance")}
    held = task.prepare(batch, "test", [1])["input"]
    return held, task.encode(held)


def test_the_compressed_network_meets_the_budget(outcome: Outcome):
    assert outcome.compressed.cost.macs.true * 3 <= outcome.teacher.cost.macs.true
    assert outcome.teacher.generator.config["in_channels"] == 4  # two classes, "don't care", borders
    assert outcome.compressed.generator.family == "mobile_spade"
    assert set(outcome.compressed.metrics) == {"ssim", "ssim_to_teacher"}


def test_a_teacher_leaves_training_without_spectral_norm(outcome: Outcome):
    teacher = outcome.teacher.generator
    assert teacher.config["spectral_norm"] is False
    assert not any("parametrizations" in name for name in teacher.state)


def test_the_discriminator_is_inherited_with_its_scales(outcome: Outcome):
    judges = [Generator.load(path) for path in sorted(outcome.directory.glob("steps/*/discriminator"))]
    assert len(judges) == 3
    assert {judge.family for judge in judges} == {"multiscale_patchgan"}
    assert {judge.config["in_channels"] for judge in judges} == {7}


def test_statistics_are_those_of_the_training_data(outcome: Outcome):
    """What is measured and exported is what calibration leaves, not what the last steps of training did."""
    task, data = find_task(outcome.job.task, outcome.job.data), outcome.job.data.open("train")
    assert len(data) <= 16  # one batch of calibration
    items = [data[n] for n in range(len(data))]
    maps = {role: torch.stack([item[role] for item in items]) for role in ("label", "image", "instance")}
    inputs = [task.encode(task.prepare(maps, "train", range(len(data)))["input"])]
    for generator in (outcome.teacher.generator, outcome.compressed.generator):
        again = generator.build()
        recalibrate(again, inputs)
        for name, tensor in again.state_dict().items():
            torch.testing.assert_close(tensor, generator.state[name], msg=name)


@torch.no_grad()
def test_the_file_takes_integer_label_maps_and_equals_the_network(outcome: Outcome):
    held, channels = example(outcome)
    (report,) = outcome.files.reports
    assert report.max_difference < 1e-4
    session = onnxruntime.InferenceSession(report.path)
    assert [(each.name, each.type) for each in session.get_inputs()] == [
        ("labels", "tensor(int32)"),
        ("edges", "tensor(bool)"),
    ]
    given = {"labels": held[:, 0].to(torch.int32).numpy(), "edges": held[:, 1].bool().numpy()}
    (image,) = session.run(None, given)
    eager = Generator.load(outcome.directory).build()(channels)
    torch.testing.assert_close(torch.from_numpy(image), eager, atol=1e-4, rtol=0)
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["labels"], facts["classes"], facts["dont_care"]) == ("3", "road, car", "2")


def test_a_file_that_is_exported_later_takes_label_maps_too(outcome: Outcome, tmp_path):
    directory = str(outcome.directory)
    form = open_network("later", directory, job_of([directory]), InputChoices()).form
    assert form.names == ("labels", "edges")
    assert [each.dtype for each in form.inputs] == [torch.int32, torch.bool]
    with pytest.raises(DataError, match="calibration: got 8 images, expected at least 32"):  # its training split
        run("export", outcome.directory, "--precision", "int8", "--out", tmp_path / "b.onnx")


def test_the_report_tells_how_to_use_the_file(outcome: Outcome):
    _, channels = example(outcome)
    with workers_as_threads():
        (export,) = summarise(outcome, channels, rounds=2).exports
    assert "labels = numpy.zeros((1, 64, 96), numpy.int32)" in export.usage
    assert '{"labels": labels, "edges": edges}' in export.usage
    scope: dict = {}
    exec(export.usage.replace("model.fixed.onnx", str(outcome.files.reports[0].path)), scope)
    assert scope["result"].shape == (1, 3, 64, 96)


def test_the_sample_grid_begins_with_the_label_map(outcome: Outcome):
    grid = np.asarray(Image.open(outcome.directory / "samples" / "test.png"))
    found = {tuple(pixel) for pixel in grid[:, : grid.shape[1] // 5, :3].reshape(-1, 3).tolist()}
    assert set(outcome.job.data.classes.shown_colours) <= found
    lines = [json.loads(line) for line in (outcome.directory / "records.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["train_teacher", "supernet", "search"]


def test_a_finished_job_comes_back_from_its_description(outcome: Outcome):
    assert Job(**yaml.safe_load((outcome.directory / "job.yaml").read_text())) == outcome.job


class TestMistakes:
    def start(self, root: Path, **changes) -> None:
        Pipeline(job(root, **changes), root / "run", lambda _: None).run()

    def test_sizes_that_do_not_divide(self, tmp_path: Path):
        make_data(tmp_path)
        options = job(tmp_path).data.model_dump() | {"transform": {"load_size": [80, 100]}}
        message = r"spade: got an image of 80x100 \(height x width\), expected both divisible by 32 and at least 64 px"
        with pytest.raises(InputSizeError, match=message):
            self.start(tmp_path, data=options)

    def test_a_label_outside_the_range(self, tmp_path: Path):
        make_data(tmp_path)
        save(tmp_path / "test/labels/0.png", np.full((64, 96), 9, np.uint8))
        with pytest.raises(
            DataError, match=r"test/labels/0.png: got label 9, expected 0 to 1 or one of ignore \[255\]"
        ):
            self.start(tmp_path)

    def test_a_photograph_without_its_label_map(self, tmp_path: Path):
        make_data(tmp_path)
        (tmp_path / "val/labels/2.png").unlink()
        with pytest.raises(DataError, match=r"val/images: got 2.png without a file of the same name in .*val/labels"):
            self.start(tmp_path)

    def test_a_teacher_of_other_classes(self, tmp_path: Path):
        make_data(tmp_path)
        other = {"family": "spade", "config": {**NETWORK, "in_channels": 36}}
        train = job(tmp_path).teacher.model_dump(exclude_none=True)["train"] | {"network": other}
        with pytest.raises(ConfigError, match=r"spade\.in_channels: got 36, but the task needs 4; leave it out"):
            self.start(tmp_path, teacher={"train": train})
        config = {**NETWORK, "in_channels": 36}
        Generator.from_module(build("spade", config), "spade", config).save(tmp_path / "given")
        message = "spade: got inputs of 4 channels for a network that takes 36, expected as many; correct in_channels"
        with pytest.raises(ConfigError, match=message):
            self.start(tmp_path, teacher={"checkpoint": str(tmp_path / "given")})
