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
from gancompress.methods.discriminators import discriminator_input
from gancompress.methods.online import Untrained, of_images, train_online
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

    Source: Ren et al., Online Multi-Granularity Distillation for GAN Compression, ICCV 2021, section 3; there both
    teachers share the first layers of one discriminator, here each has its own.
    """

    network: NetworkOptions | None = None
    initial: Literal["random", "teacher"] = "random"
    deep: NetworkOptions | None = None
    every: Annotated[int, Field(ge=1)] = 1

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
    ) -> Generator:
        """Train the student, in place, beside its teachers; return the first teacher's discriminator.

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
        teachers = {"teacher": self._untrained(self._fresh_wide(work, inputs), terms, inputs, run, 5)}
        if self.initial == "teacher":
            first, discriminator = teachers["teacher"], work.discriminator or teachers["teacher"].discriminator
            teachers["teacher"] = replace(first, generator=work.teacher, discriminator=discriminator)
        teachers["teacher"] = self._tapped(teachers["teacher"], student, work, inputs, run)
        if self.deep is not None:
            deep = partial(self._fresh, self.deep, inputs)
            teachers["deep"] = self._untrained(deep, of_images(terms), inputs, run, 15)
        data, calibration = training_data(inputs, run), partial(calibration_inputs, inputs)
        trained = train_online(student, teachers, training, data, run, calibration, every=self.every, name=name)
        if trained is None:
            run.interrupt()
        if run.is_main:
            for label, each in trained.items():
                each.generator.save(run.directory / DIRECTORY / label)
        return trained["teacher"].discriminator

    def _fresh_wide(self, work: Work, inputs: Inputs) -> Callable[[int], Generator]:
        return work.teacher.fresh if self.network is None else partial(self._fresh, self.network, inputs)

    @staticmethod
    def _fresh(options: NetworkOptions, inputs: Inputs, seed: int) -> Generator:
        return options.fresh(seed, **options.fixed_by(inputs.task))

    def _untrained(
        self,
        fresh: Callable[[int], Generator],
        terms: DistillationOptions,
        inputs: Inputs,
        run: StepRun,
        offset: int,
    ) -> Untrained:
        """Return a teacher with fresh weights, whose seeds begin at that of the run plus an offset."""
        generator, seed = fresh(run.seed + offset), run.seed + offset
        given = discriminator_input(generator, inputs.example(), inputs.task)
        discriminator = self.discriminator.fresh_discriminator(seed + 2, given)
        return Untrained(generator, discriminator, self.opposite(fresh, seed + 1), self.objectives, terms)

    def _tapped(self, teacher: Untrained, student: Student, work: Work, inputs: Inputs, run: StepRun) -> Untrained:
        """Return the teacher with the modules whose maps are compared."""
        architecture, network = teacher.generator.architecture, teacher.generator.build()
        supervision = Supervision(network, None, teacher.terms)
        networks = architecture, work.generator.architecture, supervision, student.module
        taps = taps_of(*networks, inputs.example(), run.log.said)
        return replace(teacher, taps=taps, image_taps=architecture.image_taps)
