"""A small StyleGAN2, and its training for a few steps: what teachers and students are tried with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from gancompress.tasks import LatentTask
from gancompress.training import Checkpoints, Objective, OptimizerOptions, TrainingOptions, fit
from tests.training.toy import Log

TASK = LatentTask(latent_size=6)
SIZE = {"resolution": 8, "channel_max": 4}
BATCH = 4
OPTIONS = TrainingOptions(
    num_images=32,
    batch_size=BATCH,
    ema_half_life=16,
    checkpoint_every=4,
    log_every=16,
    optimizer=OptimizerOptions(learning_rate=0.01, betas=(0.0, 0.99)),
)


def batch(start: int = 0, size: int = BATCH) -> dict:
    """Images that depend on the number of the first one alone, prepared for the task."""
    draw = torch.Generator().manual_seed(start)
    images = torch.randn(size, 3, 8, 8, generator=draw).tanh()
    return dict(TASK.prepare({"input": images, "name": [""] * size}, "train", range(start, start + size)))


def loader(start: int, batch_size: int) -> Iterator[dict]:
    """Batches without end."""
    while True:
        yield batch(start, batch_size)
        start += batch_size


def trained(objective: Objective, directory: Path, log: Log | None = None, **others: Any) -> dict[str, Tensor]:
    """All weights and what the objective remembers, after training until ``OPTIONS`` or ``stop`` end it."""
    fit(objective, OPTIONS, loader, Checkpoints(directory), Accelerator(cpu=True), log or Log(), seed=3, **others)
    state = {}
    for name, module in objective.modules.items():
        state |= {f"{name}.{key}": value.clone() for key, value in module.state_dict().items()}
    return state | objective.memory()
