"""Training of a student beside teachers that are not trained yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from gancompress.errors import ConfigError
from gancompress.methods.distill import check_outputs
from gancompress.methods.scratch import Trained, Untrained
from gancompress.methods.training import TrainingData
from gancompress.networks.given import Given
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.objectives.online import OnlineDistillation, OnlineTeacher
from gancompress.objectives.students import Student
from gancompress.objectives.supervision import Supervision
from gancompress.training import Run, TrainingOptions


@dataclass(frozen=True)
class Lesson:
    """A teacher to train, and the student's terms towards it.

    Attributes:
        teacher: The teacher.
        terms: The student's terms. An adversarial term asks the teacher's discriminator, which it does not train.
        taps: Modules whose maps are compared.
        image_taps: Modules that return intermediate RGB images.
    """

    teacher: Untrained
    terms: DistillationOptions
    taps: tuple[str, ...] = ()
    image_taps: tuple[str, ...] = ()


def of_images(terms: DistillationOptions) -> DistillationOptions:
    """Return the terms that compare images alone, for a teacher of another architecture.

    Raises:
        ConfigError: There are none.
    """
    kept = tuple(term for term in terms.weighted.values() if term.compares == "images")
    if not kept:
        raise ConfigError(
            "online.deep: got no term that compares images, expected one: a second teacher teaches by its images; add "
            "{kind: l1, weight: 100} or {kind: ssim, weight: 10}"
        )
    return terms.model_copy(update={"terms": kept, "taps": ()})


def train_online(
    student: Student,
    lessons: Mapping[str, Lesson],
    training: TrainingOptions,
    data: TrainingData,
    run: Run,
    calibration: Callable[[], Iterable[Given]],
    *,
    every: int = 1,
    learning_rate: float | None = None,
    name: str = "online",
) -> dict[str, Trained] | None:
    """Train a student, in place, and its teachers from their first weights, from the newest checkpoint of the run.

    Args:
        student: One network.
        lessons: The teachers by name, at least one, and the student's terms towards them.
        training: Options of the training loop, for student and teachers.
        data: The training data; its task makes the teachers' objectives.
        run: Directory, log and processes.
        calibration: Returns inputs for the running statistics of a trained teacher.
        every: Steps of the student for one of the teachers.
        learning_rate: Learning rate of the teachers; that of ``training`` by default.
        name: Name of the step or method, for messages.

    Returns:
        The trained teachers by name; None if training was stopped.

    Raises:
        ConfigError: The task trains no teacher, the terms do not fit, or a teacher's outputs differ in shape from the
            student's.
        CheckpointError: A network that a term needs cannot be found or read.
        TrainingError: A loss or gradient is not finite.

    Source: Ren et al., Online Multi-Granularity Distillation for GAN Compression, ICCV 2021, section 3.
    """
    torch.manual_seed(run.seed + 4)  # seed the initial weights of the layers that adapt feature maps
    example = data.example.to(next(student.module.parameters()).device)
    taught: dict[str, OnlineTeacher] = {}
    for label, lesson in lessons.items():
        objective = lesson.teacher.objective(training, data, run, name)
        teacher = objective.modules["generator"]
        check_outputs(student.module, teacher, example, f"{name}.online.{label}")
        supervision = Supervision(
            teacher,
            _discriminator_asked(objective.modules, lesson.terms),
            lesson.terms,
            lesson.taps,
            lesson.image_taps,
        )
        taught[label] = OnlineTeacher(objective, Distillation(data.task, student, supervision, example))
    together = OnlineDistillation(taught, training.batch_size, every, learning_rate)
    for line in together.notes:
        run.log.said(line)
    if not run.fit(together, training, data.loader, data.preview):
        return None
    return {label: lessons[label].teacher.trained(each.training, calibration()) for label, each in taught.items()}


def _discriminator_asked(modules: Mapping[str, nn.Module], terms: DistillationOptions) -> nn.Module | None:
    """Return the discriminator of a teacher's objective if a term of the student asks it.

    Raises:
        ConfigError: A term asks it, and the objective has none.
    """
    if terms.adversarial is None:
        return None
    if "discriminator" not in modules:
        raise ConfigError(
            "online: got an adversarial term of the student beside a teacher without one, expected both or neither; "
            "add {kind: gan, weight: 1, balance: null} to online.terms"
        )
    return modules["discriminator"]
