"""Images of a data set in the form of a task: batches for training, evaluation and tracing."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, trace
from gancompress.data import DataConfig, make_loader, make_ordered_loader
from gancompress.data.kinds.labels import LabelledConfig
from gancompress.data.kinds.unaligned import UnalignedConfig
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given, arguments, tensors_in
from gancompress.tasks.task import Task, pair_of_labels
from gancompress.training import Batch, Loader


@dataclass(frozen=True)
class Inputs:
    """Batches of a data set, prepared for a task.

    Attributes:
        task: Task of the generator.
        data: The data set; its splits are ``train``, ``search`` and ``test``.
        num_workers: Processes that decode images.
    """

    task: Task
    data: DataConfig
    num_workers: int = 0
    _graphs: dict[Hashable, ChannelGraph] = field(default_factory=dict, repr=False, compare=False)

    def example(self) -> Given:
        """Return one input of the generator, [1, ...]."""
        return self.task.encode(self.first_images("test", 1)["input"])

    def first_images(self, split: str, count: int) -> Batch:
        """Return the first images of a split, as one batch."""
        return next(iter(self.images(split, count, count, num_workers=0)))

    def images(
        self, split: str, batch_size: int, max_images: int | None = None, num_workers: int | None = None
    ) -> Iterable[Batch]:
        """Yield every image of a split once, in order, decoded by the given number of workers by default."""
        dataset = self.data.open(split)
        workers = self.num_workers if num_workers is None else num_workers
        loader = make_ordered_loader(dataset, batch_size, max_images=max_images, num_workers=workers)
        for batch in loader:
            yield self.task.prepare(self._paired(batch), split, batch["index"].tolist())

    def encoded(self, split: str, batch_size: int, max_images: int | None = None) -> Iterator[Given]:
        """Yield the inputs of the generator [b, ...] for the items of a split, in order."""
        return (self.task.encode(batch["input"]) for batch in self.images(split, batch_size, max_images))

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

    def loader(self, seed: int, process: int = 0, num_processes: int = 1) -> Loader:
        """Return the loader of the training data for the training loop.

        Args:
            seed: Seed of the order and the augmentation.
            process: Index of this process.
            num_processes: Processes that train together; each gets its own images.
        """
        dataset = self.data.open("train", augment=True)

        def load(start: int, batch_size: int) -> Iterable[Batch]:
            loader = make_loader(
                dataset,
                batch_size,
                seed=seed,
                start_image=start,
                num_workers=self.num_workers,
                rank=process,
                world_size=num_processes,
            )
            first = start + process * batch_size
            for batch in loader:
                yield self.task.prepare(self._paired(batch), "train", range(first, first + batch_size), seed)
                first += batch_size * num_processes

        return load

    def file_form(self, network: nn.Module) -> FileForm:
        """Return a network in the form that exported files have, with the first image of the test split."""
        return self.task.file_form(network, self.first_images("test", 1)["input"])

    def file_inputs(self, network: nn.Module, num_images: int, split: str = "train") -> list[tuple[Tensor, ...]]:
        """Return the first images of a split as inputs of a network's files, four in each.

        Args:
            network: The network.
            num_images: Number of images.
            split: Name of the split.

        Raises:
            DataError: There is no such data.
        """
        return [self.task.file_form(network, each["input"]).inputs for each in self.images(split, 4, num_images)]

    def graph(self, generator: Generator, *, multiple: int = 8, minimum: int = 8) -> ChannelGraph:
        """Return the channel graph of a generator at the size of the data; each structure is traced once.

        Args:
            generator: The generator.
            multiple: Legal widths are multiples of this, or the full width.
            minimum: The narrowest legal width.

        Raises:
            InputSizeError: The generator does not accept that size.
        """
        example = self.example()
        if isinstance(example, Tensor):
            generator.architecture.check_input(example)
        structure = _structure_of(generator, example)
        if structure not in self._graphs:
            with torch.random.fork_rng(devices=[]):  # tracing must not change later random draws
                self._graphs[structure] = _traced(generator, example)
        return self._graphs[structure].constrain(multiple=multiple, minimum=minimum)

    def _paired(self, batch: Batch) -> Batch:
        """Return a batch with ``input`` and ``target``, whatever the data set calls them."""
        if isinstance(self.data, LabelledConfig) and not self.task.takes_labels:
            return pair_of_labels(batch, self.data.classes.num_classes + 1)
        return batch


def _traced(generator: Generator, example: Given) -> ChannelGraph:
    network = generator.build()
    return trace(network, arguments(network, example))


def _structure_of(generator: Generator, example: Given) -> Hashable:
    described = json.dumps(generator.architecture.describe(), sort_keys=True, default=str)
    widths = tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in generator.state.items())
    return described, widths, tuple((tuple(each.shape), each.dtype) for each in tensors_in(example))
