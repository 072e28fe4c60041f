"""Tasks: what a batch is, what the discriminator sees, and how a teacher learns it."""

from gancompress.tasks.cyclegan import CycleGanObjective, CycleGanOptions
from gancompress.tasks.gaugan import GauganObjective, GauganOptions
from gancompress.tasks.latent import LatentOptions, LatentTask
from gancompress.tasks.pix2pix import Pix2PixObjective, Pix2PixOptions
from gancompress.tasks.registry import TASKS, TaskOptions, find_task, parse_task
from gancompress.tasks.semantic import SemanticOptions, SemanticTask
from gancompress.tasks.sngan import SnganObjective, SnganOptions
from gancompress.tasks.stylegan2 import StyleGan2Game, StyleGan2Objective, StyleGan2Options
from gancompress.tasks.stylize import StylizeTask
from gancompress.tasks.task import Task, pair_of_labels

__all__ = [
    "TASKS",
    "CycleGanObjective",
    "CycleGanOptions",
    "GauganObjective",
    "GauganOptions",
    "LatentOptions",
    "LatentTask",
    "Pix2PixObjective",
    "Pix2PixOptions",
    "SemanticOptions",
    "SemanticTask",
    "SnganObjective",
    "SnganOptions",
    "StyleGan2Game",
    "StyleGan2Objective",
    "StyleGan2Options",
    "StylizeTask",
    "Task",
    "TaskOptions",
    "find_task",
    "pair_of_labels",
    "parse_task",
]
