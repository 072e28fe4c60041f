"""A whole job of the task imitate on tensors: a vocoder with weight norm, mel arrays in and waves out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gancompress.cli.sources import InputChoices, job_of, open_network
from gancompress.deploy.web.manifest import check_networks
from gancompress.errors import ExportError
from gancompress.jobs.outcome import Outcome
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import Job
from gancompress.jobs.summary import summarise
from gancompress.report.write import write_report
from tests.deploy.benchmark.in_process import workers_as_threads
from tests.outside.several import Speaking
from tests.outside.vocoder import Vocoder

onnxruntime = pytest.importorskip("onnxruntime", reason="exports to ONNX, which is not installed")
pytestmark = pytest.mark.slow  # all of them look at one whole job


def options(root: Path) -> dict:
    return {
        "name": "vocoder",
        "task": "imitate",
        "data": {"kind": "arrays", "root": str(root), "axes": ["mels", "frames"], "crop": {"frames": 16}},
        "teacher": {"checkpoint": str(root.parent / "vocoder.pt"), "family": "tests.outside.vocoder:Vocoder"},
        "budget": {"reduction": 2},
        "steps": [
            {
                "kind": "distill",
                "multiple": 1,
                "distillation": {"terms": [{"kind": "l1", "weight": 10}, "stft"]},
                "training": {"num_images": 32, "batch_size": 8, "optimizer": {"learning_rate": 1e-3}},
            }
        ],
        "metrics": {"against_teacher": ["snr", "mel_distance_22k"]},
        "exports": ["onnx", {"format": "onnx", "precision": "int8", "min_psnr_db": 20, "num_images": 32}],
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Outcome:
    root = tmp_path_factory.mktemp("vocoder")
    (root / "mels").mkdir()
    draw = np.random.default_rng(0)
    for number in range(40):
        np.save(root / f"mels/{number}.npy", draw.standard_normal((8, 24)).cumsum(1) / 3)
    torch.manual_seed(0)
    torch.save(Vocoder().state_dict(), root / "vocoder.pt")
    lines: list[str] = []
    outcome = Pipeline(Job(**options(root / "mels")), root / "run", lines.append).run()
    assert outcome is not None
    assert not any("range of its images" in line for line in lines)
    return outcome


def test_it_has_half_the_macs_and_is_compared_with_the_teacher(finished):
    macs = [each.cost.macs.true for each in (finished.teacher, finished.compressed)]
    assert 0.4 * macs[0] < macs[1] <= 0.5 * macs[0]
    metrics = finished.compressed.metrics
    assert metrics.keys() == {"snr_to_teacher", "mel_distance_22k_to_teacher"}
    assert metrics["snr_to_teacher"].value > 0
    assert metrics["snr_to_teacher"].num_images == 4
    assert not finished.teacher.metrics


def test_files_agree_and_integers_are_compared(finished):
    floats, integers = finished.files.reports
    assert floats.max_difference < 1e-5
    assert integers.quality.psnr_db > 20
    session = onnxruntime.InferenceSession(str(floats.path))
    assert session.get_inputs()[0].shape == ["batch", 8, "length"]
    (made,) = session.run(None, {"input": np.zeros((1, 8, 50), np.float32)})
    assert made.shape == (1, 1, 200)


def test_verbs_take_inputs_of_its_data(finished):
    run = str(finished.directory)
    network = open_network("compressed", run, job_of([run], trust=True), InputChoices(trust=True))
    assert [tuple(each.shape) for each in network.form.inputs] == [(1, 8, 16)]
    with pytest.raises(
        ExportError, match="web: got a network of 1x8x16, expected images of 1 or 3 channels, one vector"
    ):
        check_networks([network])


def test_the_report_shows_it(finished):
    with workers_as_threads():
        report = summarise(finished, torch.zeros(1, 8, 16), rounds=2)
    write_report(report, finished.directory)
    page = (finished.directory / "report.md").read_text()
    assert "snr" in page
    assert "mel_distance_22k" in page
    assert (finished.directory / "samples/test.png").stat().st_size > 5000
    assert json.loads((finished.directory / "report.json").read_text())["input_size"] == "1x8x16"


TRAINING = {"num_images": 16, "batch_size": 8, "optimizer": {"learning_rate": 1e-3}}
DISTILLATION = {"terms": [{"kind": "l1", "weight": 10, "outputs": {"voiced": 0.1}}]}
LEARN = {"training": TRAINING, "distillation": DISTILLATION}


@pytest.mark.parametrize(
    ("step", "metric"), [("search", "mel_distance_22k"), ({"kind": "search", "metric": "snr"}, "snr")]
)
def test_a_search_goes_by_the_first_metric(tmp_path, step, metric):
    metrics = {"against_teacher": ["mel_distance_22k", "snr"]}
    job = Job(**{**options(tmp_path), "steps": [step], "metrics": metrics})
    assert job.steps[0].metric == metric
    assert job.metrics.against_real == ()


@pytest.mark.parametrize(
    "steps",
    [
        [{"kind": "supernet", "space": {"multiple": 4}, **LEARN}, {"kind": "search"}],
        [
            {"kind": "prune", "keep": 0.5, "multiple": 4},
            {"kind": "refit", "num_images": 16},
            {"kind": "quantize", "num_images": 16},
        ],
        [{"kind": "slim", **LEARN}],
    ],
    ids=["search", "refit", "slim"],
)
def test_networks_of_several_inputs_and_outputs(tmp_path, steps):
    torch.manual_seed(0)
    torch.save(Speaking().state_dict(), tmp_path / "network.pt")
    quantized = steps[-1]["kind"] == "quantize"
    job = {
        **options(tmp_path),
        "data": {"kind": "tests.outside.several:items"},
        "teacher": {"checkpoint": str(tmp_path / "network.pt"), "family": "tests.outside.several:Speaking"},
        "budget": {"reduction": 1.5},
        "steps": steps,
        "metrics": {},
        "exports": [] if not quantized else ["onnx"],
    }
    outcome = Pipeline(Job(**job), tmp_path / "run", lambda line: None).run()
    assert outcome is not None
    assert outcome.compressed.cost.macs.true < outcome.teacher.cost.macs.true / 1.4
    assert outcome.compressed.metrics.keys() == {"snr_to_teacher", "relative_error_to_teacher"}
    assert (tmp_path / "run/samples/test.png").is_file()
    for report in outcome.files.reports:
        session = onnxruntime.InferenceSession(str(report.path))
        assert [each.name for each in session.get_inputs()] == ["mel", "speaker"]
        assert [each.name for each in session.get_outputs()] == ["wave", "voiced"]
