"""Teachers that a step trains beside its student, as a recipe describes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from gancompress.errors import ConfigError
from gancompress.jobs.steps.networks import NetworkOptions
from gancompress.jobs.steps.recalibration import calibration_inputs
from gancompress.jobs.steps.step import StepRun, Work, training_data
from gancompress.jobs.steps.taps import taps_of
from gancompress.jobs.steps.teacher import TeacherObjectives
from gancompress.methods.online import Lesson, of_images, train_online
from gancompress.networks.generator import Generator
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.objectives.students import Student
from gancompress.objectives.supervision import Supervision
from gancompress.tasks.inputs import Inputs
from gancompress.training import TrainingOptions

DIRECTORY = "online_teachers"
"""Folder of a step's directory with the teachers that it trained."""


class OnlineOptions(TeacherObjectives):
    """Teachers that train beside the student, which then learns from them instead of the job's teacher.

    The job's teacher stays what the student is compared with. The trained teachers are kept in the step's directory.

    Attributes:
        network: The first teacher; the architecture of the job's teacher by default.
        initial: Start this teacher from fresh weights, as published, or from those of the job's teacher.
        deep: A second teacher, of another depth, that teaches by its images alone.
        every: Steps of the student for one of the teachers.
        learning_rate: Learning rate of the teachers, if it differs from the student's. A small student bears a higher
            one than a teacher in an adversarial game.

    Source: Ren et al., Online Multi-Granularity Distillation for GAN Compression, ICCV 2021, section 3; there both
    teachers share the first layers of one discriminator, here each has its own.
    """

    network: NetworkOptions | None = None
    initial: Literal["random", "teacher"] = "random"
    deep: NetworkOptions | None = None
    every: Annotated[int, Field(ge=1)] = 1
    learning_rate: Annotated[float, Field(gt=0)] | None = None

    def train(
        self,
        student: Student,
        work: Work,
        inputs: Inputs,
        run: StepRun,
        terms: DistillationOptions,
        training: TrainingOptions,
        *,
        name: str,
    ) -> Generator | None:
        """Train the student, in place, beside its teachers; return the first teacher's discriminator, if it has one.

        Args:
            student: The student, of the architecture of the work's generator.
            work: The work; its teacher is the default of ``network``.
            inputs: Images of the data, for the task.
            run: Run of the step, whose directory takes the trained teachers.
            terms: Terms of the student.
            training: Options of the training loop.
            name: Kind of the step, for messages.

        Raises:
            ConfigError: The task trains no teacher, ``network`` contradicts ``initial``, or the terms do not fit.
        """
        if not inputs.task.trains_teacher:
            raise ConfigError(
                f"{name}.online: got the task '{inputs.task.name}', which trains no teacher, expected a trained one; "
                "leave online out: the same terms then learn from teacher.checkpoint"
            )
        if self.network is not None and self.initial == "teacher":
            raise ConfigError(
                f"{name}.online: got a network and initial: teacher, expected one of them; the job's teacher has its "
                "own architecture"
            )
        data, calibration = training_data(inputs, run), partial(calibration_inputs, inputs)
        lessons = self._lessons(student, work, inputs, run, terms)
        paces = {"every": self.every, "learning_rate": self.learning_rate}
        trained = train_online(student, lessons, training, data, run, calibration, **paces, name=name)
        if trained is None:
            run.interrupt()
        if run.is_main:
            for label, each in trained.items():
                each.generator.save(run.directory / DIRECTORY / label)
        return trained["teacher"].discriminator

    def _lessons(
        self, student: Student, work: Work, inputs: Inputs, run: StepRun, terms: DistillationOptions
    ) -> dict[str, Lesson]:
        """Return the teachers with the student's terms towards them."""
        first = self.untrained(_fresh(self.network, work, inputs), inputs, run.seed + 5)
        if self.initial == "teacher":
            first = replace(first, generator=work.teacher, discriminator=work.discriminator or first.discriminator)
        architecture, network = first.generator.architecture, first.generator.build()
        networks = architecture, work.generator.architecture, Supervision(network, None, terms), student
        taps = taps_of(*networks, inputs.example(), run.log.said)
        lessons = {"teacher": Lesson(first, terms, taps, architecture.image_taps)}
        if self.deep is not None:
            deep = self.untrained(_fresh(self.deep, work, inputs), inputs, run.seed + 15)
            lessons["deep"] = Lesson(deep, of_images(terms))
        return lessons


def _fresh(options: NetworkOptions | None, work: Work, inputs: Inputs) -> Callable[[int], Generator]:
    """Return a function from a seed to a network with fresh weights; the job's teacher by default."""
    if options is None:
        return work.teacher.fresh
    return lambda seed: options.fresh(seed, **options.fixed_by(inputs.task))
