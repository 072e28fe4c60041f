"""Steps of a compression job; each takes the current work and returns it changed."""

from gancompress.networks.cut import cut
from gancompress.steps.coevolution import CoEvolve
from gancompress.steps.distill import Distill, Finetune
from gancompress.steps.freeze_norms import FreezeNorms
from gancompress.steps.prune import Prune, prune, sort
from gancompress.steps.quantize import Quantize
from gancompress.steps.refit import Refit, cropped, refitted
from gancompress.steps.scratch import Scratch
from gancompress.steps.search import Search
from gancompress.steps.slim import Slim
from gancompress.steps.step import STEPS, AnyStep, Context, Step, Work, register_step
from gancompress.steps.supernet import Supernet
from gancompress.steps.teacher import NetworkOptions, TrainTeacher

__all__ = [
    "STEPS",
    "AnyStep",
    "CoEvolve",
    "Context",
    "Distill",
    "Finetune",
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
    "register_step",
    "sort",
]
