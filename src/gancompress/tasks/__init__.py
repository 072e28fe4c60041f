"""Tasks: what a batch is, what the discriminator sees, and how a teacher learns it."""

from gancompress.tasks.cyclegan import CycleGanObjective, CycleGanOptions
from gancompress.tasks.pix2pix import Pix2PixObjective, Pix2PixOptions
from gancompress.tasks.task import TASKS, Task, find_task, pair_of_labels

__all__ = [
    "TASKS",
    "CycleGanObjective",
    "CycleGanOptions",
    "Pix2PixObjective",
    "Pix2PixOptions",
    "Task",
    "find_task",
    "pair_of_labels",
]
