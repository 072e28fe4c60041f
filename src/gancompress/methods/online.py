"""Training of a student beside teachers that are not trained yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from gancompress.errors import ConfigError
from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.training import TrainingData
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given
from gancompress.networks.spectral_norm import fold_spectral_norm, settle_spectral_norm
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.objectives.online import OnlineDistillation, OnlineTeacher
from gancompress.objectives.students import Student
from gancompress.objectives.supervision import Supervision
from gancompress.options import Options
from gancompress.tasks import TeacherTraining
from gancompress.training import Run, TrainingOptions


@dataclass(frozen=True)
class Untrained:
    """A teacher to train, and the student's terms towards it.

    Attributes:
        generator: The teacher with its first weights.
        discriminator: Its discriminator with its first weights.
        opposite: Returns generator and discriminator of the opposite direction, for tasks that train both.
        options: Options of the objectives that train a teacher; each task takes its own.
        terms: The student's terms. An adversarial term asks the teacher's discriminator, which it does not train.
        taps: Modules whose maps are compared.
        image_taps: Modules that return intermediate RGB images.
    """

    generator: Generator
    discriminator: Generator
    opposite: Callable[[], tuple[nn.Module, nn.Module]]
    options: Sequence[Options]
    terms: DistillationOptions
    taps: tuple[str, ...] = ()
    image_taps: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainedBeside:
    """A teacher after online distillation, with its discriminator; spectral norm is folded into its weights."""

    generator: Generator
    discriminator: Generator


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
    teachers: Mapping[str, Untrained],
    training: TrainingOptions,
    data: TrainingData,
    run: Run,
    calibration: Callable[[], Iterable[Given]],
    *,
    every: int = 1,
    name: str = "online",
) -> dict[str, TrainedBeside] | None:
    """Train a student, in place, and its teachers from their first weights, from the newest checkpoint of the run.

    Args:
        student: One network.
        teachers: The teachers by name, at least one.
        training: Options of the training loop, for student and teachers.
        data: The training data; its task makes the teachers' objectives.
        run: Directory, log and processes.
        calibration: Returns inputs for the running statistics of a trained teacher.
        every: Steps of the student for one of the teachers.
        name: Name of the step or method, for messages.

    Returns:
        The trained teachers by name; None if training was stopped.

    Raises:
        ConfigError: The task trains no teacher, or the terms do not fit it.
        TrainingError: A loss or gradient is not finite.

    Source: Ren et al., Online Multi-Granularity Distillation for GAN Compression, ICCV 2021, section 3.
    """
    torch.manual_seed(run.seed + 4)  # seed the initial weights of the layers that adapt feature maps
    example = data.example.to(next(student.module.parameters()).device)
    taught: dict[str, OnlineTeacher] = {}
    for label, teacher in teachers.items():
        parts = teacher.generator.build(), teacher.discriminator.build(), teacher.opposite, teacher.options, training
        objective = data.task.objective(TeacherTraining(name, *parts, run.accelerator.num_processes))
        judge = objective.modules["discriminator"] if teacher.terms.adversarial is not None else None
        taps = {"taps": teacher.taps, "image_taps": teacher.image_taps}
        supervision = Supervision(objective.modules["generator"], judge, teacher.terms, **taps)
        taught[label] = OnlineTeacher(objective, Distillation(data.task, student, supervision, example))
    together = OnlineDistillation(taught, training.batch_size, every)
    for line in together.notes:
        run.log.said(line)
    if not run.fit(together, training, data.loader, data.preview):
        return None
    return {label: _trained(teachers[label], each.training.modules, calibration()) for label, each in taught.items()}


def _trained(teacher: Untrained, modules: Mapping[str, nn.Module], calibration: Iterable[Given]) -> TrainedBeside:
    generator, discriminator = modules["generator"], modules["discriminator"]
    settle_spectral_norm(generator)
    recalibrate(generator, calibration)
    made = fold_spectral_norm(teacher.generator.with_weights_of(generator.cpu()))
    return TrainedBeside(made, teacher.discriminator.with_weights_of(discriminator.cpu()))
