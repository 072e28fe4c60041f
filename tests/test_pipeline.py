"""Whole jobs at a tiny size: every step, interruption, resumption, and changed recipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gancompress.errors import BudgetError, Interrupted
from gancompress.job import Job, load_job
from gancompress.models.generator import Generator
from gancompress.pipeline import Outcome, Pipeline
from gancompress.report import write_report
from gancompress.summary import summarise

TRAINING = {"num_images": 8, "num_decay_images": 0, "batch_size": 4, "checkpoint_every": 4, "log_every": 4}
TINY = [
    "data.image_size=16",
    "data.num_images={train: 12, search: 4, test: 4}",
    "budget={reduction: 3}",
    "teacher.train.network.config={ngf: 8}",
    "teacher.train.discriminator={family: patchgan, config: {ndf: 4, n_layers: 1}}",
    f"teacher.train.training={TRAINING}",
    "steps.0.student.config={ngf: 8}",
    f"steps.0.training={TRAINING}",
    f"steps.1.training={TRAINING}",
    "steps.2.options={num_candidates: 3, method: random}",
    f"steps.3.training={TRAINING}",
]


def tiny(*changes: str) -> Job:
    return load_job("quickstart", [*TINY, *changes])


def run(job: Job, directory: Path, stop=lambda: False) -> tuple[Outcome, list[str]]:
    said: list[str] = []
    return Pipeline(job, directory, said.append, stop).run(), said


def same_weights(a: Generator, b: Generator) -> bool:
    return a.state.keys() == b.state.keys() and all(torch.equal(a.state[n], b.state[n]) for n in a.state)


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Outcome:
    return run(tiny(), tmp_path_factory.mktemp("straight"))[0]


def test_a_job_leaves_a_smaller_network_its_file_and_its_report(straight):
    directory = straight.directory
    assert straight.compressed.cost.macs.true * 3 <= straight.teacher.cost.macs.true
    assert Generator.load(directory).num_parameters == straight.compressed.cost.parameters
    assert (directory / "exports" / "model.onnx").stat().st_size == straight.exports[0].file_bytes
    assert set(straight.compressed.metrics) == {"ssim", "psnr", "ssim_to_teacher", "psnr_to_teacher"}

    example = torch.zeros(1, 3, 16, 16)
    report = summarise(straight, example, rounds=2)
    write_report(report, directory)
    assert "quickstart" in (directory / "report.html").read_text()
    assert [step.kind for step in report.steps] == ["train_teacher", "distill", "supernet", "search", "finetune"]
    assert all(step.losses for step in report.steps if step.kind != "search")
    assert report.search is not None
    assert [candidate.chosen for candidate in report.search.candidates].count(True) == 1
    assert all(candidate.cost <= report.search.budget for candidate in report.search.candidates)


def test_a_finished_run_can_be_measured_again(straight):
    job = load_job(str(straight.directory / "job.yaml"))
    assert job == tiny()
    again = Pipeline(job, straight.directory, lambda _: None).evaluate("test")
    assert {n: r.value for n, r in again.metrics.items()} == {
        n: r.value for n, r in straight.compressed.metrics.items()
    }
    other = Pipeline(job, straight.directory, lambda _: None).evaluate("search")
    assert other.metrics["psnr"].value != again.metrics["psnr"].value


def test_a_finished_job_is_not_done_again(straight):
    again, said = run(tiny(), straight.directory)
    assert same_weights(again.compressed.generator, straight.compressed.generator)
    assert all("done before" in line for line in said)
    assert len(said) == 5


@pytest.mark.parametrize("after", [1, 3, 6, 8])
def test_stopping_anywhere_and_going_on_changes_no_bit(straight, tmp_path, after):
    asked = iter(range(1000))
    with pytest.raises(Interrupted, match="everything is saved"):
        run(tiny(), tmp_path, stop=lambda: next(asked) + 1 >= after)
    outcome, _ = run(tiny(), tmp_path)
    assert same_weights(outcome.compressed.generator, straight.compressed.generator)


def test_a_changed_recipe_repeats_only_what_it_changes(straight, tmp_path):
    run(tiny(), tmp_path)
    again, said = run(tiny("steps.3.distillation.lambda_reconstruction=5"), tmp_path)
    assert [record["step"] for record in again.records] == [
        "teacher",
        "1-distill",
        "2-supernet",
        "3-search",
        "4-finetune",
    ]
    assert len({record["directory"] for record in again.records}) == 5
    assert [line.partition(":")[0] for line in said if "done before" in line] == [
        "teacher",
        "1-distill",
        "2-supernet",
        "3-search",
    ]
    assert any("4-finetune: the recipe has changed" in line for line in said)
    assert len(list((tmp_path / "steps").glob("4-finetune-*"))) == 2


def test_an_infeasible_budget_is_refused_before_the_search_evaluates(tmp_path):
    with pytest.raises(BudgetError, match="the smallest reachable cost"):
        run(tiny("budget={macs: 1000}"), tmp_path)


def test_unpaired_jobs_run_too(tmp_path):
    job = tiny(
        "task=unpaired",
        "teacher.train.cyclegan={pool_size: 4}",
        "steps.0.distillation={gan: lsgan, lambda_reconstruction: 10, lambda_features: 0.01}",
    )
    outcome, _ = run(job, tmp_path)
    assert outcome.compressed.cost.macs.true * 3 <= outcome.teacher.cost.macs.true


def test_a_checkpoint_is_a_teacher(straight, tmp_path):
    straight.teacher.generator.save(tmp_path / "teacher")
    recipe = tmp_path / "own.yaml"
    step = {"kind": "distill", "keep": 0.5, "multiple": 2, "training": TRAINING, "distillation": {"lambda_gan": 0}}
    data = {"kind": "procedural", "image_size": 16, "num_images": {"train": 8, "test": 4}}
    recipe.write_text(
        json.dumps(
            {
                "name": "own",
                "task": "paired",
                "data": data,
                "teacher": {"checkpoint": str(tmp_path / "teacher")},
                "steps": [step],
                "exports": [],
            }
        )
    )
    outcome, _ = run(load_job(str(recipe)), tmp_path / "run")
    assert outcome.teacher.cost.parameters == straight.teacher.cost.parameters
    assert outcome.compressed.cost.parameters < outcome.teacher.cost.parameters


def test_a_signal_to_all_its_processes_stops_the_command(tmp_path):
    changes = [argument for change in TINY for argument in ("--set", change)]
    changes += ["--set", "teacher.train.training.num_images=4000", "--set", "num_workers=1"]
    command = [sys.executable, "-m", "gancompress", "compress", "quickstart", "--out", str(tmp_path / "run"), *changes]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/steps/teacher-*/losses.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)  # as Ctrl-C in a terminal: the loader's workers hear it too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1].startswith("gancompress: stopped; everything is saved")
    (checkpoint, *_) = sorted(tmp_path.glob("run/steps/teacher-*/checkpoints/*.safetensors"), reverse=True)
    assert 0 < int(checkpoint.stem) < 4000
