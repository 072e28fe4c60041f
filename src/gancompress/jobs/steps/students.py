"""Student that a recipe describes, before it is narrowed and trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from gancompress.importance import AnyScore
from gancompress.jobs.steps.networks import NetworkOptions
from gancompress.jobs.steps.prune import sorted_by
from gancompress.jobs.steps.step import StepRun, Work
from gancompress.methods.initial_weights import with_shared_weights
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import NOT_DECLARED
from gancompress.tasks.inputs import Inputs


def student_of(
    options: NetworkOptions | None,
    work: Work,
    initial: Literal["teacher", "random"],
    score: AnyScore,
    inputs: Inputs,
    run: StepRun,
) -> Generator:
    """Return a student at full width, the most important channels first.

    Layers that teacher and student share by name and shape take the teacher's weights; the others start fresh.
    """
    teacher = sorted_by(score, work.teacher, inputs, run)
    if options is None and initial == "teacher":
        return teacher
    if options is None:
        student = work.teacher.fresh(run.seed + 3)
    else:
        student = options.fresh(run.seed + 3, **options.fixed_by(inputs.task))
        if student.architecture.images is None and student.family == teacher.family:
            student = replace(student, architecture=student.architecture.with_images(teacher.architecture.images))
        elif student.architecture.images is None:
            run.log.said(f"student: {student.family} {NOT_DECLARED}; say otherwise with student.range")
    return student if initial == "random" else with_shared_weights(student, teacher)
