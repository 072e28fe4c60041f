"""Steps of a compression job; each takes the current work and returns it changed."""

from gancompress.jobs.steps.coevolution import CoEvolve
from gancompress.jobs.steps.distill import Distill, Finetune
from gancompress.jobs.steps.freeze_norms import FreezeNorms
from gancompress.jobs.steps.networks import NetworkOptions
from gancompress.jobs.steps.prune import Prune
from gancompress.jobs.steps.quantize import Quantize
from gancompress.jobs.steps.refit import Refit
from gancompress.jobs.steps.scratch import Scratch
from gancompress.jobs.steps.search import Search
from gancompress.jobs.steps.slim import Slim
from gancompress.jobs.steps.step import STEPS, AnyStep, Goal, Step, StepRun, Work, register_step
from gancompress.jobs.steps.supernet import Supernet
from gancompress.jobs.steps.teacher import TrainTeacher

__all__ = [
    "STEPS",
    "AnyStep",
    "CoEvolve",
    "Distill",
    "Finetune",
    "FreezeNorms",
    "Goal",
    "NetworkOptions",
    "Prune",
    "Quantize",
    "Refit",
    "Scratch",
    "Search",
    "Slim",
    "Step",
    "StepRun",
    "Supernet",
    "TrainTeacher",
    "Work",
    "register_step",
]
