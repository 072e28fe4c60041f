"""Tasks: the meaning of a batch, the images of the discriminator, and the objective of a teacher."""

from gancompress.tasks.cyclegan import CycleGanObjective, CycleGanOptions
from gancompress.tasks.gaugan import GauganObjective, GauganOptions
from gancompress.tasks.imitate import ImitateTask
from gancompress.tasks.latent import LatentOptions, LatentTask
from gancompress.tasks.pix2pix import Pix2PixObjective, Pix2PixOptions
from gancompress.tasks.semantic import SemanticOptions, SemanticTask
from gancompress.tasks.sngan import SnganObjective, SnganOptions
from gancompress.tasks.stylegan2 import StyleGan2Objective, StyleGan2Options, StyleGan2Regularisers, undivided_batch
from gancompress.tasks.task import (
    TASKS,
    AnyTask,
    Task,
    TaskOptions,
    TeacherTraining,
    find_task,
    pair_of_labels,
    register_task,
)
from gancompress.tasks.translation import PairedTask, UnpairedTask

__all__ = [
    "TASKS",
    "AnyTask",
    "CycleGanObjective",
    "CycleGanOptions",
    "GauganObjective",
    "GauganOptions",
    "ImitateTask",
    "LatentOptions",
    "LatentTask",
    "PairedTask",
    "Pix2PixObjective",
    "Pix2PixOptions",
    "SemanticOptions",
    "SemanticTask",
    "SnganObjective",
    "SnganOptions",
    "StyleGan2Objective",
    "StyleGan2Options",
    "StyleGan2Regularisers",
    "Task",
    "TaskOptions",
    "TeacherTraining",
    "UnpairedTask",
    "find_task",
    "pair_of_labels",
    "register_task",
    "undivided_batch",
]
