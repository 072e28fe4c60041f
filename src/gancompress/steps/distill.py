"""Training one student: a narrower network from its teacher, or a cut network back to quality."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field

from gancompress.importance import AnyScore, ScoreOptions
from gancompress.models.families import find_family
from gancompress.models.generator import Generator
from gancompress.models.import_path import is_import_path
from gancompress.steps.distillation import Distillation, DistillationOptions
from gancompress.steps.prune import Fraction, cut, sorted_by, uniform_plan
from gancompress.steps.step import Context, Step, Work
from gancompress.steps.students import FixedStudent, Student
from gancompress.steps.teacher import PATCHGAN, NetworkOptions, fresh_discriminator
from gancompress.training import TrainingOptions


class Learning(Step):
    """What steps that train a student have in common.

    Attributes:
        distillation: Weights of the terms.
        inherit_discriminator: Start from the newest discriminator of the work, not from a fresh one.
        discriminator: The discriminator to begin with where none is inherited.
        training: How long and how.
    """

    distillation: DistillationOptions = DistillationOptions()
    inherit_discriminator: bool = True
    discriminator: NetworkOptions = PATCHGAN
    training: TrainingOptions = TrainingOptions()

    def judge(self, work: Work, context: Context) -> Generator:
        """The discriminator to begin with."""
        inherited = work.discriminator if self.inherit_discriminator else None
        used = self.distillation.lambda_gan > 0
        return inherited or fresh_discriminator(self.discriminator, work.teacher, context, used=used)

    def teach(self, student: Student, work: Work, context: Context) -> Generator:
        """Train a student against the work's teacher; returns the discriminator."""
        judge = self.judge(work, context)
        discriminator = judge.build()
        taps = () if is_import_path(work.teacher.family) else _taps(work.teacher)
        torch.manual_seed(context.seed + 4)  # what adapts feature maps starts from fresh weights
        objective = Distillation(
            context.task, work.teacher.build(), student, discriminator, self.distillation, taps, context.example()
        )
        context.train(objective, self.training)
        return Generator.from_module(discriminator.cpu(), judge.family, judge.config)


class Distill(Learning):
    """Train a narrower student, its weights transferred from the teacher.

    Attributes:
        student: The student's architecture; that of the teacher where left out.
        keep: Fraction of every group's channels that the student has; the budget decides where left out.
        initial: Start from the teacher's most important channels, as far as both networks have the same layers, or from
            fresh weights.
        score: What makes a channel important.
        multiple: The student's widths are multiples of this, or full.
    """

    kind = "distill"

    student: NetworkOptions | None = None
    keep: Fraction | None = None
    initial: Literal["teacher", "random"] = "teacher"
    score: AnyScore = "l1_first_producer"
    multiple: Annotated[int, Field(ge=1)] = 8

    @property
    def uses_budget(self) -> bool:
        """The budget says how narrow the student is, unless ``keep`` does."""
        return self.keep is None

    def run(self, work: Work, context: Context) -> Work:
        """Train the student."""
        wide = student_of(self.student, work, context, self.initial, self.score)
        graph = context.graph(wide, multiple=self.multiple, minimum=self.multiple)
        narrow = cut(wide, graph, uniform_plan(graph, self.keep, context.budget, self.kind))
        module = narrow.build()
        judge = self.teach(FixedStudent(module), work, context)
        student = Generator.from_module(module.cpu(), narrow.family, narrow.config, narrow.resized)
        return Work(work.teacher, student, judge)


class Finetune(Learning):
    """Train the network as it is now against its teacher."""

    kind = "finetune"

    def run(self, work: Work, context: Context) -> Work:
        """Train the network."""
        module = work.generator.build()
        judge = self.teach(FixedStudent(module), work, context)
        given = work.generator
        return Work(work.teacher, Generator.from_module(module.cpu(), given.family, given.config, given.resized), judge)


def student_of(
    options: NetworkOptions | None,
    work: Work,
    context: Context,
    initial: Literal["teacher", "random"],
    score: str | ScoreOptions,
) -> Generator:
    """A student at full width, the most important channels in front.

    Layers that teacher and student share by name and shape take the teacher's weights; the rest starts fresh.
    """
    teacher = sorted_by(score, work.teacher, context)
    if options is None and initial == "teacher":
        return teacher
    student = work.teacher.fresh(context.seed + 3) if options is None else options.fresh(context.seed + 3)
    if initial == "random":
        return student
    shared = {
        name: tensor
        for name, tensor in teacher.state.items()
        if name in student.state and student.state[name].shape == tensor.shape
    }
    return Generator(student.family, student.config, {**student.state, **shared}, student.resized)


def _taps(teacher: Generator) -> tuple[str, ...]:
    return find_family(teacher.family).parse(teacher.config).distillation_taps
