"""Options of the network that a job compresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from gancompress.jobs.steps.teacher import TrainTeacher
from gancompress.networks.image_options import ImageOptions
from gancompress.recipes.shipped import ShippedTeacher


def _without_kind(options: Any) -> Any:
    """Return the options of a step without the ``kind`` that the step's name already gives."""
    return {k: v for k, v in options.items() if k != "kind"} if isinstance(options, Mapping) else options


class TeacherOptions(ImageOptions):
    """The network to compress: read from a checkpoint, shipped with this package, or trained first.

    Attributes:
        checkpoint: A file or directory of weights.
        family: Family of the checkpoint, if its tensors do not identify it.
        config: Options of that family, or arguments of its class, if the tensors do not tell them.
        fold_branches: Whether its re-parameterised blocks are folded, one convolution each, before all steps.
        discriminator: A file or directory of the discriminator that was trained with it, for steps to inherit.
        shipped: A teacher that is part of this package.
        train: Training of a teacher. Beside ``shipped`` it documents how that one was trained, and is not run.
    """

    checkpoint: str | None = None
    family: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    fold_branches: bool = False
    discriminator: str | None = None
    shipped: ShippedTeacher | None = None
    train: Annotated[TrainTeacher | None, BeforeValidator(_without_kind)] = None

    @property
    def training(self) -> TrainTeacher | None:
        """The training step at the start of a run; None if the teacher exists already."""
        return self.train if self.shipped is None else None

    @property
    def validates(self) -> bool:
        """True if the teacher is measured while it trains."""
        return self.training is not None and self.training.training.validate_every > 0

    @model_validator(mode="after")
    def _one_source(self) -> TeacherOptions:
        if (self.checkpoint is None) == (self.train is None and self.shipped is None):
            raise ValueError(
                "got both or none of 'checkpoint' and 'train', expected one of them ('train' maybe with 'shipped')"
            )
        return self

    @model_validator(mode="after")
    def _shipped_was_trained_so(self) -> TeacherOptions:
        if self.shipped is None or self.train is None:
            return self
        if self.train.model_dump(mode="json", exclude_defaults=True) != self.shipped.training:
            raise ValueError(
                f"train: got another training than that of the shipped teacher '{self.shipped.name}', which is used; "
                "train with --train-teacher, or leave the training as it is"
            )
        return self
