"""Objective of a training method: its networks, and the phases in which a step updates them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.training.options import TrainingOptions

Batch = Mapping[str, Any]
"""Batch of a data loader: tensors of batch size b along axis 0, and lists of b strings."""

Losses = dict[str, Tensor]
"""Weighted terms by name, each a scalar and a mean over the batch; their sum is minimised."""


@dataclass(frozen=True)
class Phase:
    """Update of a training step. Phases of one name share an optimizer, and logs show the mean of their losses.

    Attributes:
        name: Name of the updated network in logs (``generator``).
        modules: Names of the objective's modules whose parameters it updates.
        loss: Returns the terms to minimise from the batch and the result of `Objective.forward`; empty if a step has no
            such update.
        discriminates: Whether it updates a discriminator, which may have a separate learning rate.
        shares: Name of the phase whose optimizer it uses; its own by default.
    """

    name: str
    modules: tuple[str, ...]
    loss: Callable[[Batch, Any], Losses]
    discriminates: bool = False
    shares: str | None = None


@dataclass(frozen=True)
class Reshaped:
    """A module that replaces one whose parameters had other shapes.

    Attributes:
        module: The new module.
        keep: Maps tensors shaped like the old parameters, such as optimizer moments, to the new shapes.
    """

    module: nn.Module
    keep: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


class Objective(ABC):
    """Training method: the networks that it trains, and the computation of a step.

    Attributes:
        modules: The networks that are trained and checkpointed, by name.
        frozen: Networks that are only evaluated (a teacher, a perceptual trunk), by name.
        phases: The updates of one step, in their order.
        update_together: Whether every phase computes its gradients before any phase changes weights.
        averaged: Names of modules of which an exponential moving average is kept.
        measured: Name of the module whose images are measured while it trains.
    """

    modules: dict[str, nn.Module]
    frozen: dict[str, nn.Module]
    phases: tuple[Phase, ...]
    update_together: bool = False
    averaged: tuple[str, ...] = ()
    measured: str = "generator"

    @abstractmethod
    def forward(self, batch: Batch, num_images: int) -> Any:
        """Compute the outputs of the generators, which the phases of one step share.

        Args:
            batch: One batch.
            num_images: Images trained on before it; with the seed it determines all random draws.
        """

    def passes(self, batch: Batch, num_images: int) -> Iterator[Any]:
        """Yield the forward passes of one step; by default a single one.

        Every phase adds its gradients of a pass before the next pass begins, so only one pass's activations are in
        memory. Losses of several passes add up; an objective with several passes updates its phases together.
        """
        yield self.forward(batch, num_images)

    @abstractmethod
    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return preview images [b, 3, h, w] in [-1, 1] by column name.

        Args:
            batch: A few images, the same every time.
            modules: The modules to use, averaged where an average is kept.
        """

    def optimizers(self, phase: Phase, options: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
        """Return the optimizers of a phase, by name: together they hold each parameter of its modules once."""
        parameters = [p for name in phase.modules for p in self.modules[name].parameters()]
        return {phase.name: options.adam(parameters, discriminates=phase.discriminates)}

    def after_step(self, num_images: int, learning_rate_factor: float) -> Mapping[str, Reshaped]:
        """Update the objective after a step's optimizer updates.

        Args:
            num_images: Images trained on, including those of the step.
            learning_rate_factor: Factor of every learning rate in the step.

        Returns:
            Modules that replace others, by name; their moving averages start again.
        """
        return {}

    def statistics(self) -> Mapping[str, float]:
        """Return statistics to log beside the losses, by name, since the last call."""
        return {}

    def remarks(self) -> list[str]:
        """Return messages for the user, after `statistics` was called."""
        return []

    def shape(self) -> Any:
        """Return the description of the modules' shapes as JSON, if steps change them; None by default."""
        return None

    def take_shape(self, shape: Any) -> None:  # noqa: B027 (optional)
        """Give the modules the shapes that `shape` described."""

    def memory(self) -> dict[str, Tensor]:
        """Return state beside weights that the next step depends on, such as an image pool."""
        return {}

    def remember(self, memory: Mapping[str, Tensor]) -> None:  # noqa: B027 (optional)
        """Restore what `memory` returned."""
