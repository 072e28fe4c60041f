"""Means of the losses between two reports."""

from __future__ import annotations

import time

import torch
from accelerate import Accelerator
from torch import Tensor

from gancompress.training.processes import mean_everywhere


class LossMeans:
    """Sums of the losses since the last report; they stay on the device until it."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._sums: dict[str, Tensor] = {}
        self._num_batches = 0
        self._since = time.perf_counter()

    def count(self) -> None:
        """Count a micro-batch, whose losses are then added."""
        self._num_batches += 1

    def add(self, name: str, value: Tensor) -> None:
        """Add a loss of the micro-batch, a scalar."""
        self._sums[name] = self._sums.get(name, torch.zeros((), device=value.device)) + value

    def take(self) -> tuple[dict[str, float], float]:
        """Return the means by name over all processes, and micro-batches per second; then begin again."""
        now = time.perf_counter()
        means = {name: value / max(1, self._num_batches) for name, value in self._everywhere().items()}
        rate = self._num_batches / max(1e-9, now - self._since)
        self._sums, self._num_batches, self._since = {}, 0, now
        return means, rate

    def pause(self) -> None:
        """Leave out of the next rate the time since the losses were taken."""
        self._since = time.perf_counter()

    def _everywhere(self) -> dict[str, float]:
        if not self._sums:
            return {}
        values = mean_everywhere(torch.stack(list(self._sums.values())), self._accelerator)
        return dict(zip(self._sums, values.tolist(), strict=True))
