"""Step of a job: options, and a function from one state of the work to the next."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Protocol

import torch
from accelerate import Accelerator
from pydantic import BeforeValidator, SerializeAsAny
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, trace
from gancompress.data import DataConfig, make_loader, make_ordered_loader
from gancompress.data.kinds.labels import LabelledConfig
from gancompress.data.kinds.unaligned import UnalignedConfig
from gancompress.errors import Interrupted
from gancompress.methods.budget import CostLimit
from gancompress.networks.generator import Generator
from gancompress.objectives.teacher_cache import digests
from gancompress.quantization import Quantization
from gancompress.registry import Kind, KindRegistry
from gancompress.steps.metric_options import MetricOptions
from gancompress.tasks import Task, pair_of_labels
from gancompress.training import Batch, Checkpoints, Loader, Objective, TrainingLog, TrainingOptions, fit


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
class Context:
    """Context of a step.

    Attributes:
        task: Task of the generator.
        data: The data set; its splits are ``train``, ``search`` and ``test``.
        budget: Budget of the compressed network.
        directory: Directory of the step.
        accelerator: Device and processes.
        log: Log of the step.
        seed: Seed of all random draws.
        num_workers: Processes that decode images.
        stop: Returns True once the user asked to stop.
        metrics: Options of the job's metrics.
        graphs: Graphs that were traced in this run.
    """

    task: Task
    data: DataConfig
    budget: CostLimit | None
    directory: Path
    accelerator: Accelerator
    log: StepLog
    seed: int = 0
    num_workers: int = 0
    stop: Callable[[], bool] = lambda: False
    metrics: MetricOptions = field(default_factory=MetricOptions)
    graphs: GraphCache = field(default_factory=dict)

    def example(self) -> Tensor:
        """Return one input of the generator, [1, c, h, w]."""
        return self.task.encode(self.first_images("test", 1)["input"])

    def first_images(self, split: str, count: int) -> Batch:
        """Return the first images of a split, as one batch."""
        return next(iter(self.images(split, count, count, num_workers=0)))

    def images(
        self, split: str, batch_size: int, max_images: int | None = None, num_workers: int | None = None
    ) -> Iterable[Batch]:
        """Yield every image of a split once, in order, decoded by the job's workers by default."""
        dataset = self.data.open(split)
        workers = self.num_workers if num_workers is None else num_workers
        loader = make_ordered_loader(dataset, batch_size, max_images=max_images, num_workers=workers)
        for batch in loader:
            yield self.task.prepare(self._paired(batch), split, batch["index"].tolist())

    def side(
        self, side: Literal["input", "target"], split: str, batch_size: int, max_images: int | None = None
    ) -> Iterable[Batch]:
        """Yield every image of one side of a split once, in order, under the side's name; other fields may be included.

        Sets without pairs repeat the images of their smaller side in `images`, but not here.
        """
        if not isinstance(self.data, UnalignedConfig):
            yield from self.images(split, batch_size, max_images)
            return
        dataset = self.data.open_domain(side, split)
        for batch in make_ordered_loader(dataset, batch_size, max_images=max_images, num_workers=self.num_workers):
            named = {side: batch["input"], "name": batch["name"], "index": batch["index"]}
            yield self.task.prepare(named, split, batch["index"].tolist())

    def loader(self, *, with_digests: bool = False) -> Loader:
        """Return the loader of the training data for the training loop.

        Args:
            with_digests: Whether each batch holds a digest of each input, as ``digest``.
        """
        dataset = self.data.open("train", augment=True)

        def load(start: int, batch_size: int) -> Iterable[Batch]:
            loader = make_loader(
                dataset,
                batch_size,
                seed=self.seed,
                start_image=start,
                num_workers=self.num_workers,
                rank=self.accelerator.process_index,
                world_size=self.accelerator.num_processes,
            )
            first = start + self.accelerator.process_index * batch_size
            for batch in loader:
                numbers = range(first, first + batch_size)
                prepared = self.task.prepare(self._paired(batch), "train", numbers, self.seed)
                yield {**prepared, "digest": digests(prepared["input"])} if with_digests else prepared
                first += batch_size * self.accelerator.num_processes

        return load

    def _paired(self, batch: Batch) -> Batch:
        """Return a batch with ``input`` and ``target``, whatever the data set calls them."""
        if isinstance(self.data, LabelledConfig) and not self.task.takes_labels:
            return pair_of_labels(batch, self.data.classes.num_classes + 1)
        return batch

    def train(self, objective: Objective, options: TrainingOptions, *, with_digests: bool = False) -> None:
        """Train to the end, resuming from the checkpoints of an earlier call of the same step.

        Args:
            objective: The objective to train.
            options: Options of the training loop.
            with_digests: See `loader`.

        Raises:
            Interrupted: The user asked to stop.
            TrainingError: Raised by `gancompress.training.fit`.
        """
        finished = fit(
            objective,
            options,
            self.loader(with_digests=with_digests),
            Checkpoints(self.directory / "checkpoints"),
            self.accelerator,
            self.log,
            preview_batch=self.first_images("test", 4),
            seed=self.seed,
            stop=self.stop,
        )
        if not finished:
            self.interrupt()

    def interrupt(self) -> NoReturn:
        """Stop the run at the user's request. Raises Interrupted."""
        raise Interrupted("stopped; everything is saved: the same command goes on from here")

    def graph(self, generator: Generator, *, multiple: int = 8, minimum: int = 8) -> ChannelGraph:
        """Return the channel graph of a generator at the size of the data.

        Args:
            generator: The generator.
            multiple: Legal widths are multiples of this, or the full width.
            minimum: The narrowest legal width.

        Raises:
            InputSizeError: The generator does not accept that size.
        """
        example = self.example()
        generator.architecture.check_input(example)
        structure = _structure_of(generator, example)
        if structure not in self.graphs:
            with torch.random.fork_rng(devices=[]):  # tracing must not change later random draws
                self.graphs[structure] = trace(generator.build(), (example,))
        return self.graphs[structure].constrain(multiple=multiple, minimum=minimum)


GraphCache = dict[Hashable, ChannelGraph]
"""Graphs by the structure of the generator and the size of the example, within one run."""


def _structure_of(generator: Generator, example: Tensor) -> Hashable:
    described = json.dumps(generator.architecture.describe(), sort_keys=True, default=str)
    widths = tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in generator.state.items())
    return described, widths, tuple(example.shape), example.dtype


class Step(Kind, ABC):
    """Step of a job, given by its options. Subclasses that recipes may name are under `register_step`."""

    measures: ClassVar[bool] = False
    """Whether its result depends on the job's metrics."""
    takes_quantized: ClassVar[bool] = False
    """Whether it accepts a quantized network, and keeps it quantized."""
    takes_latency: ClassVar[bool] = False
    """Whether its budget may be a latency."""

    @property
    def uses_budget(self) -> bool:
        """True if its result depends on the job's budget."""
        return False

    @property
    def quantizes(self) -> bool:
        """True if it returns a quantized network."""
        return False

    @abstractmethod
    def run(self, work: Work, context: Context) -> Work:
        """Run the step.

        Raises:
            GanCompressError: An error that the user can fix; the subclass tells which.
        """


STEPS: KindRegistry[Step] = KindRegistry("steps", Step, "a kind of step")
"""All kinds of steps that a recipe may name."""

register_step = STEPS.add
"""Add a subclass of `Step` under its ``kind``; a decorator."""

AnyStep = Annotated[SerializeAsAny[Step], BeforeValidator(STEPS.parse)]
"""A step in a recipe's options."""
