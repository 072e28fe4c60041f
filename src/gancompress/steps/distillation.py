"""How a student learns from its teacher, from its discriminator, and from what it should reconstruct.

Source: Li et al., GAN Compression, CVPR 2020, equations 1 to 4; the order of updates as released.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import BeforeValidator
from torch import Tensor, nn

from gancompress.losses import AdversarialLoss, FeatureDistillation, find_reconstruction
from gancompress.options import Options, as_tuple
from gancompress.steps.students import Student, tapped
from gancompress.tasks.task import GanMode, Task, Weight
from gancompress.training import Batch, Losses, Objective, Phase


class DistillationOptions(Options):
    """Weights of the terms; a term of weight 0 is not computed.

    Attributes:
        gan: Form of the adversarial loss.
        lambda_gan: Its weight.
        reconstruction: Form of the reconstruction loss.
        lambda_reconstruction: Its weight.
        reconstruct: What the student reconstructs: the truth where there are pairs and else the teacher's image
            (``auto``), or always the teacher's image (``teacher``), so that no truth is needed.
        lambda_features: Weight of the distance to the teacher's feature maps.
        taps: Paths of the modules whose maps are compared; the family's own where empty.
    """

    gan: GanMode = "hinge"
    lambda_gan: Weight = 1.0
    reconstruction: Literal["l1", "l2", "smooth_l1"] = "l1"
    lambda_reconstruction: Weight = 100.0
    reconstruct: Literal["auto", "teacher"] = "auto"
    lambda_features: Weight = 1.0
    taps: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()


class _Outputs(NamedTuple):
    """What teacher and student make of one batch."""

    student_image: Tensor
    student_maps: Mapping[str, Tensor]
    teacher_image: Tensor
    teacher_maps: Mapping[str, Tensor]


class Distillation(Objective):
    """Student and discriminator against each other, both updated from the same state."""

    averaged = ("student",)
    update_together = True

    def __init__(
        self,
        task: Task,
        teacher: nn.Module,
        student: Student,
        discriminator: nn.Module,
        options: DistillationOptions,
        taps: tuple[str, ...],
        example: Tensor,
    ) -> None:
        """Take the networks.

        Args:
            task: What is learned.
            teacher: Makes the images and maps to learn from; not trained.
            student: What to train.
            discriminator: Inherited from the teacher, or fresh.
            options: Weights of the terms.
            taps: Modules, by paths that both networks have, whose maps are compared; the options' where they name some.
            example: An input [1, c, h, w] of any values, to find the widths of the maps.

        Raises:
            ConfigError: A tap names no module.
        """
        self.task, self.options = task, options
        self._student, self._gan = student, AdversarialLoss(options.gan)
        self._reconstruction = find_reconstruction(options.reconstruction)
        self._taps = (options.taps or taps) if options.lambda_features else ()
        self.modules = {"student": student.module}
        self.frozen = {"teacher": teacher}
        generator = Phase("generator", ("student",), self._generator_loss)
        if self._taps:
            widths = (_map_widths(network, self._taps, example) for network in (student.module, teacher))
            self.modules["features"] = FeatureDistillation(*widths)
            generator = Phase("generator", ("student", "features"), self._generator_loss)
        self.phases = (generator,)
        if options.lambda_gan:
            self.modules["discriminator"] = discriminator
            self.phases = (Phase("discriminator", ("discriminator",), self._discriminator_loss), generator)

    def forward(self, batch: Batch, num_images: int) -> _Outputs:
        """Images and maps of teacher and student."""
        images = batch["input"]
        teacher = self.frozen["teacher"]
        with torch.no_grad(), tapped(teacher, self._taps) as teacher_maps:
            teacher_image = teacher(images)
        running = self._student.draw(num_images)
        with tapped(running.structure, self._taps) as student_maps:
            student_image = running.network(images)
        return _Outputs(student_image, student_maps, teacher_image, teacher_maps)

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Input, teacher, student, truth."""
        images = {"teacher": self.frozen["teacher"](batch["input"])}
        images |= {name: run(batch["input"]) for name, run in self._student.shown(modules["student"]).items()}
        return self.task.columns(batch, images)

    def _discriminator_loss(self, batch: Batch, made: _Outputs) -> Losses:
        discriminator = self.modules["discriminator"]
        real = discriminator(self.task.real(batch))
        fake = discriminator(self.task.seen(batch, made.student_image.detach()))
        return {"gan": 0.5 * self._gan.discriminator(real, fake)}

    def _generator_loss(self, batch: Batch, made: _Outputs) -> Losses:
        o, losses = self.options, Losses()
        if o.lambda_gan:
            logits = self.modules["discriminator"](self.task.seen(batch, made.student_image))
            losses["gan"] = o.lambda_gan * self._gan.generator(logits)
        if o.lambda_reconstruction:
            is_teacher = o.reconstruct == "teacher"
            target = made.teacher_image if is_teacher else self.task.answer(batch, made.teacher_image)
            losses["reconstruction"] = o.lambda_reconstruction * self._reconstruction(made.student_image, target)
        if self._taps:
            losses["features"] = o.lambda_features * self.modules["features"](made.student_maps, made.teacher_maps)
        return losses


@torch.no_grad()
def _map_widths(network: nn.Module, taps: tuple[str, ...], example: Tensor) -> dict[str, int]:
    with tapped(network, taps) as maps:
        network(example)
    return {tap: maps[tap].shape[1] for tap in taps}
