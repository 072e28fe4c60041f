"""Image translation, with pairs or without."""

from __future__ import annotations

from dataclasses import dataclass

from gancompress.data import DataConfig
from gancompress.tasks.cyclegan import CYCLEGAN_TERMS, CycleGanObjective, CycleGanOptions
from gancompress.tasks.pix2pix import PIX2PIX_TERMS, Pix2PixObjective
from gancompress.tasks.task import Task, TaskOptions, TeacherTraining, register_task
from gancompress.training import Objective


@dataclass(frozen=True)
class PairedTask(Task):
    """Image translation with known ground truth. A teacher is trained by pix2pix."""

    name: str = "paired"
    paired: bool = True

    def objective(self, training: TeacherTraining) -> Objective:
        """Return the objective of pix2pix."""
        terms = training.terms or PIX2PIX_TERMS
        return Pix2PixObjective(self, training.generator, training.discriminator, terms, training.image)


@dataclass(frozen=True)
class UnpairedTask(Task):
    """Image translation between two domains without pairs. A teacher is trained by CycleGAN, with its opposite."""

    name: str = "unpaired"
    paired: bool = False

    def objective(self, training: TeacherTraining) -> Objective:
        """Return the objective of CycleGAN."""
        generator_back, discriminator_back = training.fresh()
        networks = {
            "generator": training.generator,
            "discriminator": training.discriminator,
            "generator_back": generator_back,
            "discriminator_back": discriminator_back,
        }
        terms, options = training.terms or CYCLEGAN_TERMS, training.options_of(CycleGanOptions)
        return CycleGanObjective(self, networks, terms, training.image, options)


@register_task
class PairedOptions(TaskOptions):
    """Image translation with pairs; it has no options."""

    kind = "paired"
    paired = True

    def build(self, data: DataConfig | None) -> Task:
        """Return the task."""
        self.check_targets(data)
        return PairedTask()


@register_task
class UnpairedOptions(TaskOptions):
    """Image translation without pairs; it has no options."""

    kind = "unpaired"

    def build(self, data: DataConfig | None) -> Task:
        """Return the task."""
        self.check_targets(data)
        return UnpairedTask()
