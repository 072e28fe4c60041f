"""A training run: the directory, the processes and the log that the loop works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from gancompress.training.checkpoint import Checkpoints
from gancompress.training.log import TrainingLog
from gancompress.training.loop import Loader, fit
from gancompress.training.objective import Batch, Objective
from gancompress.training.options import TrainingOptions


@dataclass(frozen=True)
class Run:
    """Directory, log, processes and seed of one training run.

    Attributes:
        directory: Directory of the checkpoints, in ``checkpoints/``, and of other files of the run.
        log: Log of the run.
        accelerator: Device and processes.
        seed: Seed of all random draws.
        stop: Returns True once the user asked to stop.
    """

    directory: Path
    log: TrainingLog
    accelerator: Accelerator
    seed: int = 0
    stop: Callable[[], bool] = lambda: False

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        return self.accelerator.device

    @property
    def is_main(self) -> bool:
        """True in the process that writes files and logs."""
        return self.accelerator.is_main_process

    def fit(
        self, objective: Objective, options: TrainingOptions, loader: Loader, preview_batch: Batch | None = None
    ) -> bool:
        """Train an objective from the newest checkpoint of the run; see `gancompress.training.fit`."""
        return fit(
            objective,
            options,
            loader,
            Checkpoints(self.directory / "checkpoints"),
            self.accelerator,
            self.log,
            preview_batch=preview_batch,
            seed=self.seed,
            stop=self.stop,
        )
