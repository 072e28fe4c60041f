"""Distillation of a teacher into a student."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ConfigError
from gancompress.losses import L1, Features, TermOptions
from gancompress.methods.data import Batches, Data, batch_size_of
from gancompress.methods.evaluate import outputs_of
from gancompress.methods.progress import Report
from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.save import save
from gancompress.methods.supernet import Supernet
from gancompress.methods.teacher_outputs import keep_outputs
from gancompress.methods.training import (
    TrainingData,
    cache_options,
    described_training,
    digest_of,
    own_run,
    restored,
    shape_of,
    training_options,
)
from gancompress.networks.given import Given, arguments, tensors_in
from gancompress.networks.taps import automatic_taps
from gancompress.networks.weight_values import check_values
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.objectives.students import FixedStudent, Sampling, Student, SupernetStudent
from gancompress.objectives.stylegan2 import StyleGan2Distillation
from gancompress.objectives.supervision import Supervision, common_taps
from gancompress.objectives.taps import outside_blocks
from gancompress.objectives.teacher_cache import TeacherCacheOptions
from gancompress.tasks import StyleGan2Options
from gancompress.training import Run, TrainingOptions

DEFAULT_TERMS = (L1(100), Features(1))
RECALIBRATION_IMAGES = 512

AnyTerm = TermOptions | Callable[..., Any] | str
"""A term of `gancompress.losses`, its kind, or a function of (output, target) that returns a scalar."""


@dataclass(frozen=True)
class Distilled:
    """A trained student.

    Attributes:
        module: The student that was given, trained, in evaluation mode; for a supernet its wide network.
        losses: Mean losses by name with ``num_images``, in order.
        images: Number of images trained on.
        finished: Whether training reached its end.
        taps: Paths of the modules whose feature maps were compared.
    """

    module: nn.Module = field(repr=False)
    losses: Sequence[dict[str, float]] = field(repr=False)
    images: int
    finished: bool
    taps: tuple[str, ...] = ()

    def save(self, directory: str | Path) -> str:
        """Write the student with `gancompress.save`; returns the line of Python that loads it."""
        return save(self.module, directory)


def distill(
    student: nn.Module | Supernet,
    teacher: nn.Module,
    data: Data,
    *,
    images: int,
    terms: Sequence[AnyTerm] | None = None,
    batch_size: int | None = None,
    lr: float = 2e-4,
    target: Literal["auto", "teacher"] = "auto",
    discriminator: nn.Module | None = None,
    teacher_cache: TeacherCacheOptions | Mapping[str, Any] | None = None,
    taps: Sequence[str] = (),
    fixed: Sequence[str] = (),
    sampling: Sampling = "random",
    num_random: int = 2,
    out: str | Path | None = None,
    progress: bool | Report = True,
    stop: Callable[[], bool] | None = None,
    seed: int = 0,
    **training: Any,
) -> Distilled:
    """Train a student, or all networks of a supernet, to reproduce the teacher's outputs and features.

    With ``out``, the same call resumes where it was stopped, with exactly the same result as without the stop.

    Args:
        student: The network to train, in place; or a supernet, one random plan of which is trained in each step.
        teacher: Network to learn from; unchanged after the call.
        data: Batches: a DataLoader, a list, or a function that returns an iterable.
        images: Images to train on.
        terms: Losses with their weights; by default ``[L1(100), Features(1)]``.
        batch_size: Images of a step; that of the data by default.
        lr: Learning rate of Adam, whose betas are 0.9 and 0.99 without a discriminator, and 0.5 and 0.999 with one.
        target: Target of the terms that compare outputs: the data's ``target`` if batches have one and else the
            teacher's output (``auto``), or always the teacher's output.
        discriminator: Network from outputs to logits, trained in place; only with `gancompress.losses.Adversarial`.
        teacher_cache: Options of the cache of the teacher's outputs (`gancompress.objectives.teacher_cache`), such as
            ``{"copies": 4}``: the data then repeats its first passes. By default outputs are kept where data is a list,
            or where the teacher takes longer than the student's step; on disk only with ``out``.
        taps: Modules whose feature maps are compared, by their path in both networks or ``TEACHER=STUDENT``; by default
            those at which the width or the size of the maps changes, matched by size if the architectures differ.
        fixed: Paths of modules of the student that are not trained.
        sampling: Plans of a supernet's step: one at random, or a ``sandwich`` of widest, narrowest and random ones.
        num_random: Random plans of a sandwich.
        out: Directory of checkpoints and losses; by default nothing is saved.
        progress: True shows the progress, False does not; or a function that is called with it.
        stop: Called after every step; when it returns True the state is saved and training ends.
        seed: Seed of random numbers, including the order of the data.
        training: Further options of `gancompress.training.TrainingOptions`: ``num_decay_images``, ``ema_half_life``,
            ``precision``, ``checkpoint_every``, ...

    Raises:
        ConfigError: Outputs of student and teacher differ in shape, a term does not fit, or ``out`` holds another run.
        DataError: There are no batches, or some are of an unknown kind.
        TrainingError: A loss or gradient is not finite.

    Source: Li et al., GAN Compression, CVPR 2020, equations 1 to 4.
    """
    batches = Batches(data)
    elastic = student if isinstance(student, Supernet) else None
    module = student.module if isinstance(student, Supernet) else student
    example = batches.first["input"][:1]
    check_outputs(module, teacher, example)
    learning: Student = FixedStudent(module)
    if elastic is not None:
        learning = SupernetStudent(module, elastic.graph, elastic.space, seed, sampling, num_random)
    chosen = tuple(taps) or shared_taps(teacher, learning, example)
    options = distillation_options(terms, chosen, fixed, target, discriminator)
    size, adversarial = batch_size or batch_size_of(batches), discriminator is not None
    how = training_options(images, size, lr, training, adversarial=adversarial)
    keeping = cache_options(teacher_cache)
    described = {
        "student": shape_of(module),
        "teacher": digest_of(teacher),
        "terms": options.model_dump(mode="json", exclude_defaults=True),
        "training": described_training(how, {"num_images", "log_every", "checkpoint_every"}),
        "supernet": None if elastic is None else [sampling, num_random, repr(elastic.space.choices)],
        "seed": seed,
        "teacher_cache": keeping.model_dump(exclude_defaults=True) or None,
    }
    others = [network for network in (discriminator,) if network is not None]
    saving: dict[str, Any] = {"described": described, "out": out, "progress": progress, "stop": stop, "seed": seed}
    with restored(teacher, module, *others):
        with own_run("distill", batches, **saving) as run:
            supervision = Supervision(teacher, discriminator, options, chosen)
            finished = train_student(learning, supervision, how, run.data(keeping), run)
            losses = run.losses
        recalibrate(module, batches.inputs(RECALIBRATION_IMAGES))
    done = how.total_images if finished else int(losses[-1]["num_images"]) if losses else 0
    return Distilled(module.eval(), losses, done, finished, chosen)


def train_student(
    student: Student,
    supervision: Supervision,
    training: TrainingOptions,
    data: TrainingData,
    run: Run,
    stylegan2: StyleGan2Options | None = None,
) -> bool:
    """Train the networks of a student, in place, from the newest checkpoint of the run.

    Args:
        student: One network, or those of a supernet.
        supervision: Networks to learn from, and the loss terms.
        training: Options of the training loop.
        data: The training data.
        run: Directory, log and processes.
        stylegan2: Regularisers and style mixing for one StyleGAN2; without them it is trained like any other network.

    Returns:
        Whether training reached its end.

    Raises:
        CheckpointError: A weight of the teacher is infinite or not a number.
        ConfigError: Raised by `Distillation`.
        TrainingError: A loss or gradient is not finite.
    """
    check_values("teacher", supervision.teacher.state_dict(), supervision.teacher)
    torch.manual_seed(run.seed + 4)  # seed the initial weights of the layers that adapt feature maps
    example = data.example.to(next(student.module.parameters()).device)
    if stylegan2 is None:
        objective = Distillation(data.task, student, supervision, example)
    else:
        objective = StyleGan2Distillation(data.task, student, supervision, example, stylegan2, training.batch_size)
    for line in objective.notes:
        run.log.said(line)
    return fit_distillation(objective, training, data, run)


def fit_distillation(objective: Distillation, training: TrainingOptions, data: TrainingData, run: Run) -> bool:
    """Train an objective, with a cache of the teacher's outputs where it helps; return True if it reached its end.

    Raises:
        ConfigError: The options of the cache contradict the data, the space or each other.
        TrainingError: A loss or gradient is not finite.
    """
    cache, loader = keep_outputs(objective, training, data, run)
    objective.use_cache(cache)
    return run.fit(objective, training, loader, data.preview)


def check_outputs(student: nn.Module, teacher: nn.Module, example: Given, name: str = "distill") -> None:
    """Raise an error if the outputs of student and teacher differ in shape.

    Args:
        student: The student.
        teacher: The teacher.
        example: An input of both.
        name: Name of the method or option, for the message.

    Raises:
        ConfigError: The shapes differ, or a network returns no tensor.
    """
    with torch.no_grad(), evaluation_mode(student), evaluation_mode(teacher):
        got, wanted = (_shapes_of(network, example) for network in (student, teacher))
    if got != wanted:
        given = ", ".join(str(tuple(each.shape)) for each in tensors_in(example))
        raise ConfigError(
            f"{name}: the student returns {_listed(got)} and the teacher {_listed(wanted)} for an input {given}, "
            "expected the same shape; check the student"
        )


def _shapes_of(network: nn.Module, example: Given) -> dict[str, tuple[int, ...]]:
    return {name: tuple(each.shape) for name, each in outputs_of(network, example).items()}


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    one = len(shapes) == 1
    return ", ".join(str(shape) if one else f"{name} {shape}" for name, shape in shapes.items())


def shared_taps(teacher: nn.Module, student: Student, example: torch.Tensor) -> tuple[str, ...]:
    """Return the automatic taps of the teacher, matched by size if the student lacks some of its modules."""
    taps = outside_blocks(automatic_taps(teacher, arguments(teacher, example)), student.left_out)
    return common_taps(teacher, student.module, example, taps)


def distillation_options(
    terms: Sequence[AnyTerm] | None,
    taps: Sequence[str],
    fixed: Sequence[str],
    target: Literal["auto", "teacher"],
    discriminator: nn.Module | None,
    default: Sequence[TermOptions] = DEFAULT_TERMS,
) -> DistillationOptions:
    """Return the distillation options for some terms.

    Raises:
        ConfigError: A term does not fit, or only one of discriminator and adversarial term is given.
    """
    if terms is None:
        terms = [term for term in default if taps or term.compares != "maps"]
    given: dict[str, Any] = {"terms": tuple(terms), "taps": tuple(taps), "fixed": tuple(fixed), "reconstruct": target}
    options = DistillationOptions(**given)
    if options.adversarial is not None and discriminator is None:
        raise ConfigError("terms: got an adversarial term without a discriminator, expected discriminator=network")
    if options.adversarial is None and discriminator is not None:
        raise ConfigError("discriminator: got one without an adversarial term, expected losses.Adversarial(1) in terms")
    return options
