"""Pictures of a job: samples of the test split, and pictures of latent spaces."""

from __future__ import annotations

from pathlib import Path

import torch

from gancompress.evaluation.latent.pictures import latent_pictures
from gancompress.jobs.steps import Work
from gancompress.networks.given import call
from gancompress.networks.noise import kept_noise
from gancompress.networks.outputs import image_of
from gancompress.report import panels
from gancompress.report.grid import sample_grid
from gancompress.tasks import LatentTask
from gancompress.tasks.inputs import Inputs

SAMPLES = "samples"
"""Folder of the pictures in the run directory."""

_NUM_SAMPLES = 6


def draw_samples(work: Work, inputs: Inputs, directory: Path) -> None:
    """Draw what teacher and compressed network make of the first test items, into ``samples/test.png``."""
    batch = inputs.first_images("test", _NUM_SAMPLES)
    given = inputs.task.encode(batch["input"])
    teacher, compressed = work.teacher.build(), work.build()
    with torch.no_grad():
        shared = kept_noise(teacher, compressed)
        images = {"original (teacher)": teacher, "compressed": compressed}
        images = {name: image_of(call(network, given, **shared)) for name, network in images.items()}
    (directory / SAMPLES).mkdir(exist_ok=True)
    panels.draw_samples(inputs.task.columns(batch, images), directory / SAMPLES / "test.png")


def draw_latent_pictures(work: Work, inputs: Inputs, directory: Path) -> dict[str, str]:
    """Draw pictures of latent spaces, for tasks that have one; return their captions by path."""
    if not isinstance(inputs.task, LatentTask):
        return {}
    pictures = latent_pictures(inputs.task, {"teacher": work.teacher.build(), "compressed": work.build()})
    (directory / SAMPLES).mkdir(exist_ok=True)
    for name, picture in pictures.items():
        sample_grid(picture.columns, directory / SAMPLES / f"{name}.png", picture.rows)
    return {f"{SAMPLES}/{name}.png": picture.caption for name, picture in pictures.items()}
