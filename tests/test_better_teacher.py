"""A better teacher gives a better student: the recipe of the quickstart, at a smaller size, with teachers of three lengths."""

from __future__ import annotations

from pathlib import Path

import pytest

from gancompress.job import load_job
from gancompress.pipeline import Pipeline

SMALL = [
    "data.image_size=32",
    "data.num_images={train: 400, search: 4, test: 64}",
    "budget.reduction=4",
    "teacher.train.network={family: resnet, config: {ngf: 8, num_blocks: 3}}",
    "teacher.train.discriminator={family: patchgan, config: {ndf: 8, n_layers: 2}}",
    "teacher.train.training.batch_size=4",
    "teacher.train.training.precision=fp32",
    "teacher.train.training.preview_every=0",
    "steps.0.student={family: resnet, config: {ngf: 8, num_blocks: 3}}",
    "steps.0.training.precision=fp32",
    "steps.0.training.num_images=800",
    "steps.0.training.num_decay_images=400",
    "metrics.against_real=[ssim]",
    "metrics.against_teacher=[]",
    "exports=[]",
]


def ssim_of_teacher_and_student(num_images: int, directory: Path) -> tuple[float, float]:
    length = [f"teacher.train.training.num_images={num_images}", "teacher.train.training.num_decay_images=1"]
    outcome = Pipeline(load_job("quickstart", [*SMALL, *length], train_teacher=True), directory, lambda _: None).run()
    assert outcome is not None
    return outcome.teacher.metrics["ssim"].value, outcome.compressed.metrics["ssim"].value


@pytest.mark.timeout(600)
def test_the_students_distance_to_the_truth_falls_with_the_teachers(tmp_path):
    found = [ssim_of_teacher_and_student(num_images, tmp_path / str(num_images)) for num_images in (300, 1000, 3000)]
    teachers, students = zip(*found, strict=True)
    assert list(teachers) == sorted(teachers)
    assert list(students) == sorted(students), (teachers, students)
