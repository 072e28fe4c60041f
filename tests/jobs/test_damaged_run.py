"""A run directory with damaged files: repaired from what is whole, or refused in one line that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gancompress.errors import GanCompressError
from gancompress.jobs.clock import Clock
from gancompress.jobs.finished import FinishedRun
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import Job, load_job
from gancompress.jobs.stages import Stage
from gancompress.jobs.summary import add_to_report
from gancompress.methods.loss_records import read_losses
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.training import Checkpoints
from gancompress.training.checkpoint import Snapshot
from tests.cli.test_jobs import RECIPE

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Job, Path]:
    """A finished run of one trained step."""
    folder = tmp_path_factory.mktemp("whole")
    config = {"ngf": 8, "num_blocks": 1}
    torch.manual_seed(0)
    Generator.from_module(build("resnet", config), "resnet", config).save(folder / "given")
    recipe = {**RECIPE, "teacher": {"checkpoint": str(folder / "given")}, "metrics": {"against_real": []}}
    (folder / "own.yaml").write_text(json.dumps(recipe))
    job = load_job(str(folder / "own.yaml"))
    assert Pipeline(job, folder / "run", lambda _: None).run() is not None
    return job, folder / "run"


def write(content: bytes) -> Change:
    return lambda path: path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(bytes(content))


def without(*names: str) -> Change:
    def change(path: Path) -> None:
        content = json.loads(path.read_bytes())
        path.write_text(json.dumps({name: value for name, value in content.items() if name not in names}))

    return change


def another_networks(path: Path) -> None:
    for file in path.glob("*.safetensors"):
        file.unlink()
    Checkpoints(path).save(Snapshot(4, {"module/student/x": torch.zeros(3)}, {"seed": 0, "shape": {}}))


def odd_names(path: Path) -> None:
    for name in ("12a.safetensors", "7.safetensors", "000000000009.safetensors.bak", "9" * 40 + ".safetensors"):
        (path / name).write_bytes(b"odd")


NULLS, LIST, NUMBER, TEXT = bytes(64), b"[1, 2]", b"7", b"\xff\xfe damaged"
NAN = b'{"step": "a", "kind": 3, "directory": null, "seconds": "x"}'
CONTENTS = (b"", NULLS, LIST, NUMBER, TEXT, NAN, b"{}", b"null", b'"x"', b'{"num_images": 4}\n')


@pytest.mark.parametrize("content", CONTENTS)
def test_files_of_a_step(content, whole, tmp_path):
    _, run = whole
    (step,) = (run / "steps").iterdir()
    for name in ("done.json", "seconds.json", "losses.jsonl"):
        (tmp_path / name).write_bytes(content)
    stage = Stage("1-distill", "", None, tmp_path)  # type: ignore[arg-type]
    assert (stage.record, stage.state) == (None, "begun")
    assert Clock(tmp_path).seconds < (60 if content != NUMBER else 67)
    assert read_losses(tmp_path) == []
    (tmp_path / "losses.jsonl").write_bytes(content + b"\n" + (step / "losses.jsonl").read_bytes() + content)
    assert read_losses(tmp_path) == read_losses(step) != []


DAMAGES: list[tuple[str, Change, str]] = [
    ("done.json", truncate, "again"),
    ("done.json", without("sha256"), "before"),  # as an older version wrote it
    ("losses.jsonl", write(TEXT), "before"),
    ("generator/model.safetensors", flip, "again"),
    ("generator/config.json", truncate, "again"),
    ("discriminator/model.safetensors", Path.unlink, "again"),
    ("checkpoints", odd_names, "before"),
]


@pytest.mark.parametrize(("file", "damage", "wanted"), DAMAGES, ids=[f"{n}-{d[0]}" for n, d in enumerate(DAMAGES)])
def test_a_finished_run(file, damage, wanted, whole, tmp_path, monkeypatch):
    """The same call gives the same bits, and says what it did."""
    job, run = whole
    again = tmp_path / "run"
    shutil.copytree(run, again)
    (step,) = (again / "steps").iterdir()
    damage(step / file)
    monkeypatch.setattr("gancompress.jobs.finishing.measure", lambda *_, **__: None)  # it is tested elsewhere
    said: list[str] = []
    outcome = Pipeline(job, again, said.append).run()
    assert outcome is not None
    assert any(f"done {wanted}" in line for line in said), said
    for name in ("model.safetensors", "config.json"):
        assert (again / name).read_bytes() == (run / name).read_bytes()
    assert all("losses" in line for line in read_losses(step))


def test_the_checkpoint_of_another_network_is_named(whole, tmp_path):
    job, run = whole
    shutil.copytree(run, tmp_path / "run")
    (step,) = (tmp_path / "run" / "steps").iterdir()
    (step / "done.json").unlink()
    another_networks(step / "checkpoints")
    message = r"000000000004\.safetensors: got the checkpoint of another network .* delete .*checkpoints"
    with pytest.raises(GanCompressError, match=message) as caught:
        Pipeline(job, tmp_path / "run", lambda _: None).run()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "file", ["model.safetensors", "config.json", "teacher/config.json", "teacher/model.safetensors"]
)
@pytest.mark.parametrize("damage", [write(b""), write(LIST), truncate])
def test_evaluate_names_the_damaged_file(file, damage, whole, tmp_path):
    job, run = whole
    shutil.copytree(run, tmp_path / "run")
    damage(tmp_path / "run" / file)
    with pytest.raises(GanCompressError, match=rf"{file}: (got|found) ") as caught:
        FinishedRun(job, tmp_path / "run")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("content", [b"", NULLS, LIST, TEXT, b"{}", b'{"title": 3}'])
def test_a_damaged_report_is_named(content, tmp_path):
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(GanCompressError, match="report"):
        add_to_report(tmp_path, {}, {})


def test_a_damaged_job_is_named(tmp_path):
    for content in (b"", NULLS, b"[1]", TEXT, b"name: ["):
        (tmp_path / "job.yaml").write_bytes(content)
        with pytest.raises(GanCompressError, match=r"job\.yaml: "):
            load_job(str(tmp_path / "job.yaml"))
