"""Steps: what a compression job is made of. Each takes the work as it is and hands it on."""

from gancompress.models.cut import cut
from gancompress.steps.coevolution import CoEvolve
from gancompress.steps.distill import Distill, Finetune
from gancompress.steps.freeze_norms import FreezeNorms
from gancompress.steps.prune import Prune, prune, sort
from gancompress.steps.quantize import Quantize
from gancompress.steps.refit import Refit, cropped, refitted
from gancompress.steps.scratch import Scratch
from gancompress.steps.search import Search
from gancompress.steps.slim import Slim
from gancompress.steps.step import Context, Step, Work
from gancompress.steps.supernet import Supernet
from gancompress.steps.teacher import NetworkOptions, TrainTeacher

STEPS: dict[str, type[Step]] = {
    step.kind: step
    for step in (Prune, Refit, Distill, Supernet, Search, Slim, Finetune, FreezeNorms, Quantize, Scratch, CoEvolve)
}
"""Every kind of step that a recipe may name."""

__all__ = [
    "STEPS",
    "CoEvolve",
    "Context",
    "FreezeNorms",
    "NetworkOptions",
    "Prune",
    "Quantize",
    "Refit",
    "Scratch",
    "Search",
    "Slim",
    "Step",
    "Supernet",
    "TrainTeacher",
    "Work",
    "cropped",
    "cut",
    "prune",
    "refitted",
    "sort",
]
