"""What a training method is: networks, and the phases in which a step updates them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.training.options import TrainingOptions

Batch = Mapping[str, Any]
"""What a data loader yields: tensors of batch size b along axis 0, and lists of b strings."""

Losses = dict[str, Tensor]
"""Weighted terms by name, each a scalar and a mean over the batch; their sum is minimised."""


@dataclass(frozen=True)
class Phase:
    """One update of a training step. Phases of one name share an optimizer, and logs show the mean of their losses.

    Attributes:
        name: What is updated, as logs name it (``generator``).
        modules: Names of the objective's modules whose parameters it updates.
        loss: The terms to minimise, from the batch and from what `Objective.forward` returned; none where a step has no
            such update.
        discriminates: Whether it updates a discriminator, which may have a learning rate of its own.
        shares: Name of the phase whose optimizer it uses; its own by default.
    """

    name: str
    modules: tuple[str, ...]
    loss: Callable[[Batch, Any], Losses]
    discriminates: bool = False
    shares: str | None = None


@dataclass(frozen=True)
class Reshaped:
    """A module that takes the place of one whose parameters had other shapes.

    Attributes:
        module: The new one.
        keep: Of tensors that have the names and shapes of some of the old one's parameters, what the new one keeps.
    """

    module: nn.Module
    keep: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


class Objective(ABC):
    """A training method: what is trained, and what a step of it computes.

    Attributes:
        modules: The networks that are trained and checkpointed, by name.
        frozen: Networks that are only evaluated (a teacher, a perceptual trunk), by name.
        phases: The updates of one step, in their order.
        update_together: Whether every phase computes its gradients before any phase changes weights.
        averaged: Names of modules of which an exponential moving average is kept.
    """

    modules: dict[str, nn.Module]
    frozen: dict[str, nn.Module]
    phases: tuple[Phase, ...]
    update_together: bool = False
    averaged: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, batch: Batch, num_images: int) -> Any:
        """What the phases of one step share: the outputs of the generators.

        Args:
            batch: One batch.
            num_images: Images trained on before it; with the seed it decides whatever is drawn at random.
        """

    def passes(self, batch: Batch, num_images: int) -> Iterator[Any]:
        """What the phases learn from in one step, one forward pass after another; a single one, unless overridden.

        Every phase adds its gradients of a pass before the next pass begins, so that one pass's activations are held at
        a time. Losses of several passes add up; an objective with several updates its phases together.
        """
        yield self.forward(batch, num_images)

    @abstractmethod
    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Pictures to look at while it trains: images [b, 3, h, w] in [-1, 1] by column name.

        Args:
            batch: A few images, the same every time.
            modules: The modules to use, averaged where an average is kept.
        """

    def optimizers(self, phase: Phase, options: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
        """The optimizers of a phase, by name: together they hold each parameter of its modules once."""
        parameters = [p for name in phase.modules for p in self.modules[name].parameters()]
        return {phase.name: options.adam(parameters, discriminates=phase.discriminates)}

    def after_step(self, num_images: int, learning_rate_factor: float) -> Mapping[str, Reshaped]:
        """What follows the updates of a step.

        Args:
            num_images: Images trained on, those of the step included.
            learning_rate_factor: What every learning rate was multiplied with in the step.

        Returns:
            Modules that take the place of others, by name; their moving averages begin anew.
        """
        return {}

    def statistics(self) -> Mapping[str, float]:
        """Return what is logged beside the losses, by name, since the last call."""
        return {}

    def remarks(self) -> list[str]:
        """Return lines that the user should read, after `statistics` was called."""
        return []

    def shape(self) -> Any:
        """What decides the shapes of the modules where steps change them, as JSON."""
        return None

    def take_shape(self, shape: Any) -> None:  # noqa: B027 (optional)
        """Give the modules the shapes that `shape` told of."""

    def memory(self) -> dict[str, Tensor]:
        """Tensors beside weights that the next step depends on, such as an image pool."""
        return {}

    def remember(self, memory: Mapping[str, Tensor]) -> None:  # noqa: B027 (optional)
        """Take back what `memory` gave."""
