"""Optimizers of an objective's phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from gancompress.training.objective import Objective, Phase, Reshaped
from gancompress.training.optimizer_state import Moments, moments_of, restore_moments
from gancompress.training.options import TrainingOptions


class Optimizers:
    """Optimizers of an objective, by name and by phase.

    Attributes:
        by_name: The optimizers.
    """

    def __init__(self, objective: Objective, options: TrainingOptions) -> None:
        self._objective, self._options = objective, options
        self.by_name: dict[str, torch.optim.Optimizer] = {}
        self._names: dict[str, list[str]] = {}
        self._make()

    def _make(self) -> None:
        self.by_name = {}
        for phase in self._objective.phases:
            made = self._objective.optimizers(phase, self._options)
            self._names[phase.name] = list(made)
            self.by_name |= made

    def parameters(self, phase: Phase) -> list[nn.Parameter]:
        """Return the parameters that a phase updates."""
        optimizers = (self.by_name[name] for name in self._names[phase.name])
        return [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]

    def update(self, phase: Phase) -> None:
        """Update the parameters of a phase by their gradients."""
        for name in self._names[phase.name]:
            self.by_name[name].step()

    def clear_gradients(self) -> None:
        """Remove all gradients."""
        for optimizer in self.by_name.values():
            optimizer.zero_grad(set_to_none=True)

    @contextmanager
    def scaled(self, factor: float) -> Iterator[None]:
        """Multiply every learning rate by a factor within the context."""
        groups = [group for optimizer in self.by_name.values() for group in optimizer.param_groups]
        rates = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] *= factor
        try:
            yield
        finally:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate

    def moments(self) -> dict[str, Moments]:
        """Return the state of every optimizer, by name."""
        modules = self._objective.modules
        return {name: moments_of(optimizer, modules) for name, optimizer in self.by_name.items()}

    def renew(self, moments: Mapping[str, Moments], changes: Mapping[str, Reshaped]) -> None:
        """Replace the optimizers after modules were reshaped; they continue with the kept part of their state.

        Args:
            moments: Result of `moments` before the change.
            changes: The reshaped modules by name.
        """
        self._make()
        for name, optimizer in self.by_name.items():
            restore_moments(optimizer, moments[name], self._objective.modules, changes)
