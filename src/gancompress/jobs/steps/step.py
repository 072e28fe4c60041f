"""Step of a job: options, and a function from one state of the work to the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, Protocol

from pydantic import BeforeValidator, SerializeAsAny
from torch import nn

from gancompress.errors import STOPPED, Interrupted
from gancompress.evaluation.options import MetricOptions
from gancompress.methods.budget import CostLimit
from gancompress.methods.training import TrainingData
from gancompress.networks.generator import Generator
from gancompress.quantization import Quantization, QuantizationOptions
from gancompress.registry import Kind, KindRegistry
from gancompress.tasks.inputs import Inputs
from gancompress.training import Loader, Run, TrainingLog


@dataclass(frozen=True)
class Work:
    """State of the work that a step takes and returns.

    Attributes:
        teacher: The network to compress.
        generator: The current compressed network, in float; the teacher at first.
        discriminator: The newest discriminator, to inherit; None before any was trained.
        facts: Facts of the last step, for the records.
        quantization: Quantization of the network; None if it is not quantized.
        uncut: The generator before pruning, with the kept channels first; None if it was trained since.
    """

    teacher: Generator
    generator: Generator
    discriminator: Generator | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    quantization: Quantization | None = None
    uncut: Generator | None = None

    def build(self) -> nn.Module:
        """Return the current compressed network, with its quantization, on the CPU, in evaluation mode."""
        network = self.generator.build()
        return network if self.quantization is None else self.quantization.attach(network).eval()


class StepLog(TrainingLog, Protocol):
    """Log of a step. Only the main process calls it."""

    def searched(self, num_candidates: int, total_candidates: int, best: Mapping[str, float]) -> None:
        """Report the progress of a search: finished candidates, their largest number, and the metrics of the best."""


@dataclass(frozen=True)
class StepRun(Run):
    """Run of a step; ``directory`` is that of the step.

    Attributes:
        log: Log of the step.
        job_directory: Directory that all steps of the job share; that of the step by default.
    """

    log: StepLog
    job_directory: Path | None = None

    @property
    def shared(self) -> Path:
        """Directory of what all steps of the job share."""
        return self.job_directory or self.directory

    def interrupt(self) -> NoReturn:
        """Stop the run at the user's request. Raises Interrupted."""
        raise Interrupted(STOPPED)


@dataclass(frozen=True)
class Goal:
    """Goal of a job, towards which its steps work.

    Attributes:
        budget: Budget of the compressed network; None without one.
        metrics: Options of the metrics by which networks are compared.
    """

    budget: CostLimit | None = None
    metrics: MetricOptions = field(default_factory=MetricOptions)


def training_loader(inputs: Inputs, run: Run, copies: int | None = None) -> Loader:
    """Return the training batches of this process; their augmentations repeat after ``copies`` epochs."""
    return inputs.loader(run.seed, run.accelerator.process_index, run.accelerator.num_processes, copies)


def training_data(inputs: Inputs, run: Run) -> TrainingData:
    """Return the training data of this process."""
    return TrainingData(inputs.task, training_loader(inputs, run), inputs.example(), inputs.first_images("test", 4))


class Step(Kind, ABC):
    """Step of a job, given by its options. Subclasses that recipes may name are under `register_step`."""

    measures: ClassVar[bool] = False
    """True if its result depends on the job's metrics."""
    takes_quantized: ClassVar[bool] = False
    """True if it accepts a quantized network, and keeps it quantized."""
    takes_latency: ClassVar[bool] = False
    """True if its budget may be a latency."""
    ties_groups: ClassVar[bool] = True
    """True if the widths that it chooses agree where the graph's slots tie them."""
    places: ClassVar[frozenset[str]] = frozenset()
    """Options that say where something is kept, on which the result does not depend."""

    @property
    def uses_budget(self) -> bool:
        """True if its result depends on the job's budget."""
        return False

    @property
    def needs_budget(self) -> bool:
        """True if it cannot run without a budget of the job."""
        return False

    @property
    def new_quantization(self) -> QuantizationOptions | None:
        """Quantization that it gives to the network; None if it leaves it as it is."""
        return None

    def check(self) -> None:
        """Check what the step needs from outside of the job, before its first image. Raises a GanCompressError."""

    @property
    def least_images(self) -> int:
        """Number of training images without which it cannot run."""
        return 0

    def check_network(self, network: Generator, inputs: Inputs, run: StepRun, goal: Goal) -> None:
        """Check what the step needs of a network before that is trained. Raises a GanCompressError.

        Args:
            network: A network of the same architecture, with other weights.
            inputs: Images of the data, for the task.
            run: Run of the training.
            goal: Budget and metrics of the job.
        """

    @abstractmethod
    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Run the step.

        Args:
            work: State of the work before the step.
            inputs: Images of the data, for the task.
            run: Directory, log, processes and seed of the step.
            goal: Budget and metrics of the job.

        Raises:
            GanCompressError: An error that the user can fix; the subclass tells which.
        """


STEPS: KindRegistry[Step] = KindRegistry("steps", Step, "a kind of step")
"""All kinds of steps that a recipe may name."""

register_step = STEPS.add
"""Add a subclass of `Step` under its ``kind``; a decorator."""

AnyStep = Annotated[SerializeAsAny[Step], BeforeValidator(STEPS.parse)]
"""A step in a recipe's options."""
