"""Doubts about a teacher, from a few of its images: it cannot teach if it has collapsed."""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.networks.generator import Generator
from gancompress.networks.outputs import image_of
from gancompress.tasks.inputs import Inputs

_NUM_IMAGES, _BATCH_SIZE = 16, 4
_CONSTANT = 0.01
"""Mean standard deviation over images, in [-1, 1], below which they count as one image: 1.3 of 255 levels."""
_NEARER = 0.97
"""Share of the distance to other truths below which images count as nearer to their own."""


@torch.no_grad()
def doubts_about(teacher: Generator, inputs: Inputs, device: torch.device | str = "cpu") -> tuple[str, ...]:
    """Return what is wrong with a teacher's images of the first test inputs, as sentences; empty if nothing is.

    Images are compared with the truth of their own input, of other inputs, and with the mean truth: a generator of a
    task with many right answers may be further from the truth than the mean is, but not from its own than from others.
    """
    network = teacher.build().to(device)
    given, made, truth = [], [], []
    for batch in inputs.images("test", _BATCH_SIZE, _NUM_IMAGES, num_workers=0):
        given.append(inputs.task.encode(batch["input"]).float())
        made.append(image_of(network(given[-1].to(device))).float().cpu())
        truth += [batch["target"].float()] if inputs.task.paired else []
    if len({each.shape[1:] for each in made}) != 1 or sum(map(len, made)) < 2:
        return ()
    images = torch.cat(made)
    if _spread(images) < _CONSTANT < _spread(torch.cat(given)):
        return (
            f"the teacher has collapsed: its images of {len(images)} inputs are the same up to {_spread(images):.4f} "
            "of the range -1..1; train it with a smaller learning rate, or give another one",
        )
    if not truth or truth[0].shape[1:] != images.shape[1:]:
        return ()
    real = torch.cat(truth)
    own, others = _distances(images, real)
    mean = float((real - real.mean(0)).square().mean().sqrt())
    if own > mean and own > _NEARER * others:
        return (
            f"the teacher is worse than the mean image: RMSE {own:.3f} to the truth, the mean image {mean:.3f}, and no "
            f"nearer to the truth of its input than to that of others ({others:.3f}); train it longer, with a smaller "
            "learning rate, or give another one",
        )
    return ()


def _spread(images: Tensor) -> float:
    return float(images.std(0).mean())


def _distances(images: Tensor, real: Tensor) -> tuple[float, float]:
    """Return the RMSE of images to their own truths, and to those of other inputs."""
    distances = torch.stack([(image - real).square().flatten(1).mean(1) for image in images])
    own = distances.diagonal()
    others = (distances.sum() - own.sum()) / (distances.numel() - len(own))
    return float(own.mean().sqrt()), float(others.sqrt())
