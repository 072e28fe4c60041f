"""Networks and phases of a generator that is trained on pairs with one discriminator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from gancompress.losses import TermOptions
from gancompress.tasks.task import Task
from gancompress.tasks.teacher_terms import TeacherTerms
from gancompress.training import Batch, Losses, Objective, Phase


class PairedObjective(Objective):
    """Base class of the objectives of a generator on pairs, with one discriminator if a term needs it."""

    averaged = ("generator",)
    discriminator_first: ClassVar[bool]
    """True if a step updates the discriminator before the generator."""

    def __init__(
        self, task: Task, generator: nn.Module, discriminator: nn.Module, terms: Sequence[TermOptions], image: Tensor
    ) -> None:
        """Take the two networks to train.

        Args:
            task: A paired task.
            generator: Maps the task's encoded ``input`` to ``target``.
            discriminator: Takes the task's discriminator input; returns the feature maps of each scale if they are
                compared. Not trained without an adversarial term.
            terms: The loss terms.
            image: Any image of the generator, [1, c, h, w].

        Raises:
            ConfigError: A term does not fit the objective or the image.
            CheckpointError: A network that a term needs cannot be found or read.
        """
        self.task = task
        self._terms = TeacherTerms(terms, image, ("images", "logits", "discriminator_maps", "nothing"))
        self.modules = {"generator": generator, **self._terms.learned}
        self.frozen = self._terms.frozen
        self.phases = (Phase("generator", tuple(self.modules), self._generator_loss),)
        if self._terms.gan is not None:
            self.modules["discriminator"] = discriminator
            phase = Phase("discriminator", ("discriminator",), self._discriminator_loss, discriminates=True)
            self.phases = (phase, *self.phases) if self.discriminator_first else (*self.phases, phase)

    @abstractmethod
    def _generator_loss(self, batch: Batch, made: Any, /) -> Losses:
        """Return the terms of the generator."""

    @abstractmethod
    def _discriminator_loss(self, batch: Batch, made: Any, /) -> Losses:
        """Return the terms of the discriminator; only with an adversarial term."""
