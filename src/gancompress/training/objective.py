"""What a training method is: networks, and the phases in which a step updates them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Batch = Mapping[str, Any]
"""What a data loader yields: tensors of batch size b along axis 0, and lists of b strings."""

Losses = dict[str, Tensor]
"""Weighted terms by name, each a scalar and a mean over the batch; their sum is minimised."""


@dataclass(frozen=True)
class Phase:
    """One update of a training step.

    Attributes:
        name: What is updated, as logs name it (``generator``).
        modules: Names of the objective's modules whose parameters it updates.
        loss: The terms to minimise, from the batch and from what `Objective.forward` returned.
    """

    name: str
    modules: tuple[str, ...]
    loss: Callable[[Batch, Any], Losses]


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

    @abstractmethod
    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Pictures to look at while it trains: images [b, 3, h, w] in [-1, 1] by column name.

        Args:
            batch: A few images, the same every time.
            modules: The modules to use, averaged where an average is kept.
        """

    def memory(self) -> dict[str, Tensor]:
        """Tensors beside weights that the next step depends on, such as an image pool."""
        return {}

    def remember(self, memory: Mapping[str, Tensor]) -> None:  # noqa: B027 (optional)
        """Take back what `memory` gave."""
