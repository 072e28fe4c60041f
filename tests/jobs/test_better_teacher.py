"""A good teacher and its discriminator must not ruin a student: those of the quickstart win against any network."""

from __future__ import annotations

from pathlib import Path

import pytest

from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job

SMALL = [
    "data.num_images={train: 160, search: 4, test: 32}",
    "steps.0.training.num_images=320",
    "steps.0.training.num_decay_images=160",
    "steps.0.training.precision=fp32",
    "metrics.against_real=[ssim]",
    "metrics.against_teacher=[]",
    "exports=[]",
]


def ssim(directory: Path, *changes: str) -> float:
    """SSIM of the student to the truth; the scenes are drawn once for all students."""
    cache = f"data.cache={{directory: {directory.parent / 'scenes'}}}"
    outcome = Pipeline(load_job("quickstart", [*SMALL, cache, *changes]), directory, lambda _: None).run()
    assert outcome is not None
    return outcome.compressed.metrics["ssim"].value


@pytest.mark.slow
def test_a_winning_discriminator_costs_a_student_nothing(tmp_path):
    without = ssim(tmp_path / "without", "steps.0.distillation.terms.gan.weight=0")
    bounded = ssim(tmp_path / "bounded")
    published = ssim(tmp_path / "published", "steps.0.distillation.terms.gan.balance=null")
    assert bounded > without - 0.02
    assert published < without - 0.05  # else this test shows nothing
