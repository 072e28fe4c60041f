"""The verbs around a job, on a run that takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gancompress.cli import main
from gancompress.errors import CheckpointError, ConfigError, DataError
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build

from .verbs import run

TRAINING = {"num_images": 8, "batch_size": 4, "checkpoint_every": 4, "log_every": 4}
SMALL = {"family": "patchgan", "config": {"ndf": 4, "n_layers": 1}}
RECIPE = {
    "name": "own",
    "task": "paired",
    "data": {"kind": "procedural", "image_size": 16, "num_images": {"train": 8, "search": 5, "test": 4}},
    "steps": [{"kind": "distill", "keep": 0.5, "multiple": 2, "training": TRAINING, "discriminator": SMALL}],
    "exports": [],
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("own")
    config = {"ngf": 8, "num_blocks": 1}
    Generator.from_module(build("resnet", config), "resnet", config).save(directory / "given")
    path = directory / "own.yaml"
    path.write_text(json.dumps({**RECIPE, "teacher": {"checkpoint": str(directory / "given")}}))
    return path


@pytest.fixture(scope="module")
def finished(recipe) -> Path:
    directory = recipe.parent / "run"
    run("compress", recipe, "--out", directory, "--tensorboard")
    return directory


def test_tensorboard_files_lie_beside_the_steps(finished):
    (step,) = (finished / "steps").iterdir()
    (events,) = (finished / "tensorboard" / step.name).iterdir()
    assert events.stat().st_size > 100
    assert (step / "losses.png").is_file()


def test_evaluate_gives_metrics_costs_and_latency_of_both_networks(finished):
    report = json.loads(run("evaluate", finished, "--json"))
    assert set(report["metrics"]) == {"psnr", "ssim", "psnr_to_teacher", "ssim_to_teacher"}
    assert (report["split"], report["input_size"]) == ("test", "1x3x16x16")
    for name, directory in (("teacher", finished / "teacher"), ("compressed", finished)):
        again = json.loads(run("inspect", directory, "--size", "16x16", "--json"))
        assert report[name]["parameters"] == again["parameters"]
        assert report[name]["macs"] == again["macs"]
        latency = report[name]["latency_ms"]
        assert 0 < latency["p10"] <= latency["median"] <= latency["p90"]
    assert report["teacher"]["macs"]["true"] > report["compressed"]["macs"]["true"]


def test_evaluate_shows_the_same_as_text(finished):
    text = run("evaluate", finished, "--split", "search")
    assert "psnr_to_teacher" in text
    for row in ("parameters", "MACs (true)", "median", "90th percentile"):
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{row} ")]
        assert line.rstrip().endswith("x")


def test_a_dry_run_says_what_is_done_what_is_left_and_what_a_change_undoes(recipe, finished):
    def steps(*arguments: object) -> list[str]:
        text = run("compress", recipe, "--dry-run", *arguments)
        assert "train 8  search 5  test 4" in text
        return [" ".join(line.split()) for line in text.splitlines() if line.split()[:1] == ["1-distill"]]

    assert steps("--out", finished.parent / "nowhere") == ["1-distill to do"]
    assert not (finished.parent / "nowhere").exists()
    assert steps("--out", finished) == ["1-distill done"]
    (step,) = (finished / "steps").iterdir()
    (line,) = steps("--out", finished, "--set", "steps.0.keep=0.75")
    assert line.startswith("1-distill to do; the recipe or gancompress has changed since")
    assert [entry.name for entry in (finished / "steps").iterdir()] == [step.name]


def test_a_dry_run_refuses_data_that_is_not_there(recipe):
    data = "data={kind: aligned, root: /nowhere, transform: {load_size: 16, crop_size: 16}}"
    with pytest.raises(DataError, match=r"/nowhere.*no such folder"):
        run("compress", recipe, "--dry-run", "--set", data)


def test_a_teacher_that_is_not_there_is_refused_before_anything_is_done(recipe):
    with pytest.raises(
        CheckpointError, match=r"nowhere\.pth: no such file or directory, expected the teacher's weights"
    ):
        run("compress", recipe, "--dry-run", "--set", "teacher={checkpoint: nowhere.pth}")


def test_a_given_teacher_is_not_trained(recipe):
    with pytest.raises(
        ConfigError, match=r"got teacher\.checkpoint, expected teacher\.train: there is nothing to train"
    ):
        run("train", recipe, "--set", "teacher={checkpoint: nowhere.pth}")


def test_help_loads_no_pytorch():
    code = "import sys, gancompress.cli; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "a/b"), "a/b: No space left on device; make room there and run the"),
        (PermissionError(13, "Permission denied", "a/b"), "a/b: Permission denied"),
        (OSError("the network is down"), "the network is down"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, message, monkeypatch, capsys):
    def refuse() -> None:
        raise error

    monkeypatch.setattr("gancompress.cli.entry.app", refuse)
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gancompress: {message}")


@pytest.mark.parametrize(("rank", "printed"), [("0", "x\n"), ("1", "")])
def test_only_the_first_of_several_processes_prints(rank, printed):
    code = "from gancompress.cli.options import console; console.print('x')"
    command, environment = [sys.executable, "-c", code], {**os.environ, "RANK": rank}
    assert subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout == printed
