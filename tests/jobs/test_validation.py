"""Metrics on the split ``search`` while networks train."""

from __future__ import annotations

import json
import re

import pytest

from gancompress.errors import ConfigError
from gancompress.jobs.finished import FinishedRun
from gancompress.methods.loss_records import read_losses

from .test_pipeline import NO_EXPORT, TRAINING, run, tiny


def test_teacher_and_student_are_measured_on_the_search_split_while_they_train(tmp_path):
    training = {**TRAINING, "validate_every": 4}
    step = {"kind": "distill", "keep": 0.5, "multiple": 2, "training": training, "distillation": {"terms": ["l1"]}}
    job = tiny(NO_EXPORT, f"teacher.train.training={training}", f"steps=[{json.dumps(step)}]")
    _, said = run(job, tmp_path)
    curves = {}
    for name in ("teacher", "1-distill"):
        (directory,) = (tmp_path / "steps").glob(f"{name}-*")
        found = [(line["num_images"], line["losses"]) for line in read_losses(directory)]
        names = {key for _, values in found for key in values if key.startswith("search/")}
        curves[name] = {key: [(at, values[key]) for at, values in found if key in values] for key in names}
    assert set(curves["teacher"]) == {"search/ssim", "search/psnr", "search/sharpness_gap"}
    assert set(curves["1-distill"]) == set(curves["teacher"]) | {"search/ssim_to_teacher", "search/psnr_to_teacher"}
    again = FinishedRun(job, tmp_path).evaluate("search")
    for metric in ("ssim", "psnr", "psnr_to_teacher"):
        measured = curves["1-distill"][f"search/{metric}"]
        assert [at for at, _ in measured] == [0, 4, 8]
        assert measured[-1][1] == pytest.approx(again.metrics[metric].value, rel=1e-4)
    assert any(re.match(r"teacher: 4 images: search/ssim 0\.\d+, search/psnr ", line) for line in said)
    with pytest.raises(ConfigError, match=r"steps\.0\.training\.validate_every: got 4 and no metric to measure by"):
        tiny("metrics={against_real: [], against_teacher: []}", f"steps=[{json.dumps(step)}]")
