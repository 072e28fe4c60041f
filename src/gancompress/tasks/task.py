"""Task of a generator: the meaning of a batch, the discriminator's input, and the student's target.

A batch holds ``input``, the input of the generator, and ``target``, real images [b, c, h, w] in [-1, 1], if there are
any. Image translation takes images, [b, c, h, w] too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

import torch
from pydantic import BeforeValidator, SerializeAsAny
from torch import Tensor, nn

from gancompress.data import DataConfig
from gancompress.errors import ConfigError
from gancompress.losses import TermOptions
from gancompress.networks.file_form import FileForm
from gancompress.networks.given import Given, NamedInputs, arguments, one_tensor, order
from gancompress.options import Options, OptionsError
from gancompress.registry import Kind, KindRegistry
from gancompress.training import Batch, Objective, TrainingOptions

OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class TeacherTraining:
    """The networks and options for training a teacher, from which a task makes its objective.

    Attributes:
        step: Kind of the step that trains, for messages.
        generator: The generator.
        discriminator: The discriminator.
        image: Any image of the generator, [1, c, h, w], with which loss terms are built.
        fresh: Returns another generator and another discriminator, such as those of the opposite direction.
        options: Options of every objective that the step supports.
        training: Options of the training loop.
        terms: Loss terms of the generator; None for those of the task's method.
        num_processes: Processes that train together.
    """

    step: str
    generator: nn.Module
    discriminator: nn.Module
    image: Tensor
    fresh: Callable[[], tuple[nn.Module, nn.Module]]
    options: Sequence[Options]
    training: TrainingOptions
    terms: tuple[TermOptions, ...] | None = None
    num_processes: int = 1

    def options_of(self, kind: type[OptionsT]) -> OptionsT:
        """Return the options of a class, its defaults if the step has none."""
        return next((each for each in self.options if isinstance(each, kind)), None) or kind()


@dataclass(frozen=True)
class Task:
    """Task of a generator: the meaning of a batch, the discriminator's input, and the training of a teacher.

    Attributes:
        name: Kind of its options in `gancompress.tasks.TASKS`.
        paired: Whether ``target`` is the ground truth of ``input``, not an unrelated image of the target domain.
        takes_labels: Whether it builds ``input`` from label maps itself.
    """

    trains_teacher: ClassVar[bool] = True
    """True if `objective` can train a teacher from fresh weights."""

    name: str
    paired: bool
    takes_labels: bool = False

    def objective(self, training: TeacherTraining) -> Objective:
        """Return the objective that trains a generator without a teacher.

        Raises:
            ConfigError: The task has no such objective, or the options do not fit it.
        """
        raise ConfigError(
            f"{training.step}: got the task '{self.name}', which trains no teacher, expected a trained generator; give "
            "its teacher.checkpoint"
        )

    def prepare(self, batch: Batch, split: str, numbers: Sequence[int], seed: int = 0) -> Batch:
        """Convert a batch of the data set to the task's format; unchanged by default.

        Args:
            batch: A batch of the data set.
            split: Name of the split.
            numbers: Index of each image among all training images served so far, or in the split.
            seed: With split and number it determines all random draws for an image; 0 in evaluation.
        """
        return batch

    def encode(self, held: Given) -> Given:
        """Convert ``batch["input"]`` to generator input. Identity by default; idempotent."""
        return held

    def names(self, batch: Batch) -> Sequence[str]:
        """Return the names of a batch's inputs; empty if they have none."""
        return list(batch.get("name", ()))

    def generator_options(self) -> dict[str, Any]:
        """Return the options of the generator's family that follow from the task."""
        return {}

    def real(self, batch: Batch, teacher_image: Tensor | None = None) -> Tensor:
        """Return the discriminator's input for real images: input and target concatenated if they are a pair.

        Args:
            batch: A prepared batch.
            teacher_image: The teacher's image of the batch, for tasks that have no other images.
        """
        return self.seen(batch, batch["target"])

    def seen(self, batch: Batch, image: Tensor) -> Tensor:
        """Return the discriminator's input for an image [b, c, h, w]: with pairs, condition and image.

        Source: Isola et al., pix2pix, CVPR 2017, equation 1.
        """
        if not self.paired:
            return image
        return torch.cat([one_tensor(self.encode(batch["input"]), f"task {self.name}"), image], 1)

    def discriminator_channels(self, in_channels: int, out_channels: int) -> int:
        """Return the number of channels of the discriminator's input."""
        return in_channels + out_channels if self.paired else out_channels

    def answer(self, batch: Batch, teacher_image: Tensor) -> Tensor:
        """Return the reconstruction target of a student: the ground truth if there is one, else the teacher's image.

        Source: Li et al., GAN Compression, CVPR 2020, equation 1 (pseudo pairs).
        """
        return batch["target"] if self.paired else teacher_image

    def columns(self, batch: Batch, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the columns of a sample grid."""
        truth = {"ground truth": batch["target"]} if self.paired else {}
        return {"input": batch["input"], **images, **truth}

    def file_form(self, generator: nn.Module, held: Given) -> FileForm:
        """Return the generator in the form that exported files have; unchanged by default.

        Args:
            generator: The generator.
            held: An example of a batch's ``input``.
        """
        names = order(generator, held) if isinstance(held, NamedInputs) else None
        return FileForm(generator, arguments(generator, held), names)


class TaskOptions(Kind, ABC):
    """Options of a task. Subclasses have a ``kind`` and are under `register_task`.

    Attributes:
        paired: See `Task`.
    """

    paired: ClassVar[bool] = False

    @abstractmethod
    def build(self, data: DataConfig | None) -> Task:
        """Return the task on a data set.

        Args:
            data: The data set; None without one.

        Raises:
            ConfigError: The data set does not fit the task.
        """

    def check_targets(self, data: DataConfig | None) -> None:
        """Raise ConfigError if the data has no targets."""
        if data is not None and not data.has_targets:
            reason = f"got '{self.kind}' with data of kind '{data.kind}', which has no targets; "
            raise OptionsError([("task", f"{reason}take another kind of data, or task 'imitate'")])


TASKS: KindRegistry[TaskOptions] = KindRegistry("tasks", TaskOptions, "a task", {"stylize": "imitate"})
"""Options of every task by their kind."""

register_task = TASKS.add
"""Add a subclass of `TaskOptions` under its ``kind``; a decorator."""

AnyTask = Annotated[SerializeAsAny[TaskOptions], BeforeValidator(TASKS.parse)]
"""A task in options: a kind, or a mapping of ``kind`` and options."""


def find_task(task: str | Mapping[str, Any] | TaskOptions, data: DataConfig | None = None) -> Task:
    """Return a task.

    Args:
        task: Its kind, a mapping of ``kind`` and options, or its options.
        data: The data set, which defines the labels of some tasks.

    Raises:
        ConfigError: There is no such task (the message ends with the nearest name), or the data set does not fit it.
    """
    if isinstance(task, TaskOptions):
        return task.build(data)
    try:
        return TASKS.parse(task).build(data)
    except OptionsError as error:
        raise ConfigError(f"task: {error}") from None


def pair_of_labels(batch: Batch, num_labels: int) -> Batch:
    """Return label maps and photographs as pairs: the one-hot map is the input, the photograph the target.

    Args:
        batch: ``label``, int64 [b, h, w], and ``image`` [b, 3, h, w].
        num_labels: Labels that occur, "don't care" included; ``input`` is [b, num_labels, h, w] of -1 and 1.
    """
    one_hot = torch.nn.functional.one_hot(batch["label"], num_labels).movedim(-1, 1)
    return {**batch, "input": one_hot.to(batch["image"].dtype) * 2 - 1, "target": batch["image"]}
