"""Training: the loop of all methods, its options and its checkpoints."""

from gancompress.training.checkpoint import Checkpoints
from gancompress.training.log import TrainingLog
from gancompress.training.loop import Loader, fit
from gancompress.training.objective import Batch, Losses, Objective, Phase, Reshaped
from gancompress.training.options import IMITATION_BETAS, OptimizerOptions, TrainingOptions
from gancompress.training.run import Run

__all__ = [
    "IMITATION_BETAS",
    "Batch",
    "Checkpoints",
    "Loader",
    "Losses",
    "Objective",
    "OptimizerOptions",
    "Phase",
    "Reshaped",
    "Run",
    "TrainingLog",
    "TrainingOptions",
    "fit",
]
