"""A training run: the directory, the processes and the log that the loop works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from gancompress.errors import ConfigError
from gancompress.training.checkpoint import Checkpoints
from gancompress.training.log import TrainingLog
from gancompress.training.loop import Loader, fit
from gancompress.training.objective import Batch, Objective
from gancompress.training.options import TrainingOptions
from gancompress.training.state import Validate


@dataclass(frozen=True)
class Run:
    """Directory, log, processes and seed of one training run.

    Attributes:
        directory: Directory of the checkpoints, in ``checkpoints/``, and of other files of the run.
        log: Log of the run.
        accelerator: Device and processes.
        seed: Seed of all random draws.
        stop: Returns True once the user asked to stop.
        validate: Measures a generator in training; None without a split to measure on.
    """

    directory: Path
    log: TrainingLog
    accelerator: Accelerator
    seed: int = 0
    stop: Callable[[], bool] = lambda: False
    validate: Validate | None = None

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
        """Train an objective from the newest checkpoint of the run; see `gancompress.training.fit`.

        Raises:
            ConfigError: ``validate_every`` is given, and there is no split to measure on.
        """
        if options.validate_every and self.validate is None:
            raise ConfigError(
                f"validate_every: got {options.validate_every}, expected 0: only the run of a recipe has a split to "
                "measure on"
            )
        return fit(
            objective,
            options,
            loader,
            Checkpoints(self.directory / "checkpoints"),
            self.accelerator,
            self.log,
            preview_batch=preview_batch,
            validate=self.validate,
            seed=self.seed,
            stop=self.stop,
        )
