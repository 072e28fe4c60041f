"""Training of one student: a narrower network from its teacher, or a pruned network back to quality."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator
from torch import nn

from gancompress.errors import ConfigError, nearest
from gancompress.importance import AnyScore
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import NOT_DECLARED
from gancompress.objectives.distillation import Distillation, DistillationOptions
from gancompress.objectives.students import FixedStudent, Student
from gancompress.objectives.stylegan2 import StyleGan2Distillation
from gancompress.objectives.teacher_cache import TeacherCacheOptions, open_teacher_cache
from gancompress.options import as_tuple
from gancompress.quantization import FLOAT
from gancompress.quantization.separate import separate
from gancompress.steps.content import check_content
from gancompress.steps.prune import Narrowing, sorted_by
from gancompress.steps.quantize import Quantizing
from gancompress.steps.recalibration import Calibration
from gancompress.steps.step import Context, Step, Work, register_step
from gancompress.steps.teacher import (
    PATCHGAN,
    NetworkOptions,
    check_discriminator,
    fresh_discriminator,
)
from gancompress.tasks import StyleGan2Options, undivided_batch
from gancompress.training import TrainingOptions


class Learning(Step):
    """Base class of the steps that train a student.

    Attributes:
        distillation: Loss terms.
        inherit_discriminator: Start from the newest discriminator of the work, not from a fresh one.
        discriminator: The initial discriminator if none is inherited.
        training: Options of the training loop.
        teacher_cache: Cache of the teacher's outputs for inputs that repeat.
    """

    distillation: DistillationOptions = DistillationOptions()
    inherit_discriminator: bool = True
    discriminator: NetworkOptions = PATCHGAN
    training: TrainingOptions = TrainingOptions()
    teacher_cache: TeacherCacheOptions = TeacherCacheOptions()

    def networks(self, work: Work, context: Context) -> tuple[nn.Module, Generator | None, nn.Module | None]:
        """Return the teacher, and the initial discriminator and its network if the adversarial term is used.

        Raises:
            ConfigError: The content does not fit the teacher or the data, or the discriminator does not fit the images.
        """
        teacher = work.teacher.build()
        check_content(self.distillation.content, teacher, context)
        if self.distillation.adversarial is None:
            return teacher, None, None
        discriminator = work.discriminator if self.inherit_discriminator else None
        if discriminator is None:
            discriminator = fresh_discriminator(self.discriminator, work.teacher, context)
        else:
            check_discriminator(discriminator, work.teacher, context)
        return teacher, discriminator, discriminator.build()

    def fit(self, objective: Distillation, context: Context) -> None:
        """Train the networks of an objective, with the cache that ``teacher_cache`` allows."""
        cache = None
        if objective.runs_teacher:
            halves = 2 if self.training.precision == "bf16" else 1
            size, folder = objective.teacher_bytes // halves, context.directory / "teacher_outputs"
            cache = open_teacher_cache(self.teacher_cache, size, context.data, context.task, folder, context.log.said)
        objective.use_cache(cache)
        context.train(objective, self.training, with_digests=cache is not None)

    def teach(self, student: Student, work: Work, context: Context) -> Generator | None:
        """Train a student with the work's teacher; return the newest discriminator."""
        teacher, given, discriminator = self.networks(work, context)
        taps = self.taps(work.teacher, teacher, student.module, context)
        image_taps = work.teacher.architecture.image_taps
        torch.manual_seed(context.seed + 4)  # the adapters of feature maps start from fresh weights
        objective = self.objective(
            context.task, teacher, student, discriminator, self.distillation, taps, context.example(), image_taps
        )
        for line in objective.notes:
            context.log.said(line)
        self.fit(objective, context)
        recalibrate(student.module, Calibration(context))
        return trained_discriminator(given, discriminator) or work.discriminator

    def taps(self, teacher: Generator, network: nn.Module, student: nn.Module, context: Context) -> tuple[str, ...]:
        """Return the default taps whose feature maps are compared, those of the teacher's architecture.

        Taps that are chosen automatically, or the lack of them, are logged.
        """
        architecture = teacher.architecture
        compares_maps = any(term.compares == "maps" for term in self.distillation.weighted.values())
        if self.distillation.taps or architecture.distillation_taps or not compares_maps:
            return architecture.distillation_taps
        known = dict(student.named_modules())
        shared = tuple(path for path in architecture.taps(network, (context.example(),)) if path in known)
        chosen = f"{', '.join(shared)}, chosen automatically" if shared else "none, as the networks share no stages"
        context.log.said(f"{self.kind}: feature maps compared: {chosen}; name others in distillation.taps")
        return shared

    def objective(self, *networks: Any) -> Distillation:
        """Return the objective; the arguments are those of `Distillation`."""
        return Distillation(*networks)


class OneStudent(Learning):
    """Base class of the steps that train a single network.

    Attributes:
        stylegan2: Options of StyleGAN2 training for a StyleGAN2 student: the regularisers of both networks, style
            mixing, and updates one after another. Without it a StyleGAN2 is trained like any other network.
    """

    stylegan2: StyleGan2Options | None = None

    def objective(self, *networks: Any) -> Distillation:
        """Return the objective: StyleGAN2 distillation if ``stylegan2`` is given, else plain distillation."""
        if self.stylegan2 is None:
            return super().objective(*networks)
        return StyleGan2Distillation(self.stylegan2, undivided_batch(self.kind, self.training), *networks)

    def improved(self, work: Work, context: Context) -> Work:
        """Return the work with its network trained; a quantized one stays quantized."""
        network, quantization = work.build(), work.quantization
        discriminator = self.teach(FixedStudent(network), work, context)
        generator, quantization = separate(network, work.generator, quantization and quantization.options)
        return Work(work.teacher, generator, discriminator, quantization=quantization)


@register_step
class Distill(OneStudent, Narrowing, Quantizing):
    """Step that trains a narrower student, initialised from the teacher.

    Attributes:
        student: The student's architecture; that of the teacher by default.
        initial: Start from the teacher's most important channels, where both networks have the same layers, or from
            fresh weights.
        inherit: Paths of modules that start always start with the teacher's weights, such as the ``mapping`` network of
            a StyleGAN2 whose other weights are fresh.
        score: Importance score of channels.
    """

    kind = "distill"

    student: NetworkOptions | None = None
    initial: Literal["teacher", "random"] = "teacher"
    inherit: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    score: AnyScore = "l1_first_producer"

    def run(self, work: Work, context: Context) -> Work:
        """Train the student.

        Raises:
            ConfigError: A module to inherit differs between the networks.
        """
        wide = student_of(self.student, work, context, self.initial, self.score)
        wide = inheriting(wide, work.teacher, self.inherit)
        graph, plan = self.plan(wide, context, self.quantization or FLOAT)
        narrow = cut(wide, graph, plan)
        facts = self.latency(wide, graph, plan, narrow, context)
        begun = replace(work, generator=narrow, quantization=self.begun(narrow, context))
        return replace(self.improved(begun, context), facts=facts)


@register_step
class Finetune(OneStudent, Quantizing):
    """Step that trains the current network with its teacher. A quantized one stays quantized; its ranges follow."""

    kind = "finetune"
    takes_quantized = True

    def run(self, work: Work, context: Context) -> Work:
        """Train the network."""
        begun = self.begun(work.generator, context)
        return self.improved(work if begun is None else replace(work, quantization=begun), context)


def trained_discriminator(given: Generator | None, network: nn.Module | None) -> Generator | None:
    """Return a discriminator with its network's current weights; None if there is none."""
    if given is None or network is None:
        return None
    return given.with_weights_of(network.cpu())


def student_of(
    options: NetworkOptions | None,
    work: Work,
    context: Context,
    initial: Literal["teacher", "random"],
    score: AnyScore,
) -> Generator:
    """Return a student at full width, the most important channels first.

    Layers that teacher and student share by name and shape take the teacher's weights; the others start fresh.
    """
    teacher = sorted_by(score, work.teacher, context)
    if options is None and initial == "teacher":
        return teacher
    if options is None:
        student = work.teacher.fresh(context.seed + 3)
    else:
        student = options.fresh(context.seed + 3, **options.fixed_by(context.task))
        if student.architecture.images is None and student.family == teacher.family:
            student = replace(student, architecture=student.architecture.with_images(teacher.architecture.images))
        elif student.architecture.images is None:
            context.log.said(f"student: {student.family} {NOT_DECLARED}; say otherwise with student.range")
    if initial == "random":
        return student
    shared = {
        name: tensor
        for name, tensor in teacher.state.items()
        if name in student.state and student.state[name].shape == tensor.shape
    }
    return student.with_state({**student.state, **shared})


def inheriting(student: Generator, teacher: Generator, paths: Iterable[str]) -> Generator:
    """Return a student with the weights of some of the teacher's modules.

    Raises:
        ConfigError: A module is missing, or its tensors have other shapes in the student.
    """
    state = dict(student.state)
    for path in paths:
        given = {name: tensor for name, tensor in teacher.state.items() if name.startswith(f"{path}.")}
        if not given:
            raise ConfigError(
                f"inherit: got '{path}', expected a module of the teacher; {nearest(path, _modules(teacher))}"
            )
        for name, tensor in given.items():
            if name not in state or state[name].shape != tensor.shape:
                raise ConfigError(
                    f"inherit: got '{path}', but {name} is not the same size in the student, expected a module that "
                    "both have alike; leave it out"
                )
        state |= given
    return student.with_state(state)


def _modules(generator: Generator) -> list[str]:
    """Return the paths of the modules that have weights."""
    names = (name.split(".") for name in generator.state)
    return list(dict.fromkeys(".".join(parts[:i]) for parts in names for i in range(1, len(parts))))
