"""Tasks: the meaning of a batch, the images of the discriminator, and the objective of a teacher."""

from gancompress.tasks.cyclegan import CYCLEGAN_TERMS, CycleGanObjective, CycleGanOptions
from gancompress.tasks.gaugan import GAUGAN_TERMS, GauganObjective
from gancompress.tasks.imitate import ImitateTask
from gancompress.tasks.latent import LatentOptions, LatentTask
from gancompress.tasks.pix2pix import PIX2PIX_TERMS, Pix2PixObjective
from gancompress.tasks.semantic import SemanticOptions, SemanticTask
from gancompress.tasks.sngan import SNGAN_TERMS, SnganObjective, SnganOptions
from gancompress.tasks.stylegan2 import (
    STYLEGAN2_TERMS,
    StyleGan2Objective,
    StyleGan2Options,
    StyleGan2Regularisers,
    undivided_batch,
)
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
from gancompress.tasks.teacher_terms import TeacherTerms
from gancompress.tasks.translation import PairedTask, UnpairedTask

__all__ = [
    "CYCLEGAN_TERMS",
    "GAUGAN_TERMS",
    "PIX2PIX_TERMS",
    "SNGAN_TERMS",
    "STYLEGAN2_TERMS",
    "TASKS",
    "AnyTask",
    "CycleGanObjective",
    "CycleGanOptions",
    "GauganObjective",
    "ImitateTask",
    "LatentOptions",
    "LatentTask",
    "PairedTask",
    "Pix2PixObjective",
    "SemanticOptions",
    "SemanticTask",
    "SnganObjective",
    "SnganOptions",
    "StyleGan2Objective",
    "StyleGan2Options",
    "StyleGan2Regularisers",
    "Task",
    "TaskOptions",
    "TeacherTerms",
    "TeacherTraining",
    "UnpairedTask",
    "find_task",
    "pair_of_labels",
    "register_task",
    "undivided_batch",
]
