"""Batches: an endless stream for training whose position is one integer, and every item once for evaluation."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from gancompress.data.decoding import BrokenImage
from gancompress.data.image_set import ImageSet, Item, Visit
from gancompress.errors import DataError

Batch = dict[str, Any]
"""`Item` with a batch dimension: tensors [b, ...], "name" a list and "index" int64 [b]."""


class VisitBatches(Sampler[list[Visit]]):
    """Visits of an endless stream: epoch after epoch, each in its own order, cut into batches.

    Image number p of the stream is item ``p mod len`` in the order of epoch ``p div len``, and depends on nothing
    else. A batch may span two epochs, so none is smaller than the others.

    Args:
        dataset: Data set, which gives the order of an epoch.
        batch_size: Images in a batch of one process.
        seed: At least 0.
        start_image: Number of images that all processes together have served before.
        rank: Number of this process.
        world_size: Number of processes; their batches, concatenated by rank, are the batch that a single process
            would get.
    """

    def __init__(
        self, dataset: ImageSet, batch_size: int, seed: int, start_image: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        self._dataset = dataset
        self._batch_size = batch_size
        self._seed = seed
        self._start = start_image + rank * batch_size
        self._stride = batch_size * world_size

    def __iter__(self) -> Iterator[list[Visit]]:
        """Yield batches without end."""
        first = self._start
        while True:
            yield [self._visit(image) for image in range(first, first + self._batch_size)]
            first += self._stride

    def _visit(self, image: int) -> Visit:
        epoch, place = divmod(image, len(self._dataset))
        return Visit(int(self._dataset.order(self._seed, epoch)[place]), epoch, self._seed)


class _Batches(Dataset[Item]):
    """Whole batches, made in the process that decodes the images.

    A DataError is returned as a value instead of raised, because torch would bury it in a worker's traceback.
    """

    def __init__(self, dataset: ImageSet) -> None:
        self._dataset = dataset

    def __getitems__(self, keys: Sequence[Any]) -> Batch | DataError:
        try:
            return collate([item for key in keys if (item := self._item(key)) is not None])
        except DataError as error:
            return DataError(str(error))

    def _item(self, key: Any) -> Item | None:
        raise NotImplementedError


class _Stream(_Batches):
    """Items by visit. The next intact item replaces a broken one, so that every batch is full."""

    def _item(self, key: Visit) -> Item:
        for step in range(len(self._dataset)):
            try:
                return self._dataset.item(replace(key, index=(key.index + step) % len(self._dataset)))
            except BrokenImage:
                continue
        raise DataError(f"got {len(self._dataset)} items, all broken, expected at least one that can be decoded")


class _Once(_Batches):
    """Items by number. Broken ones are dropped, so that none counts twice."""

    def _item(self, key: int) -> Item | None:
        try:
            return self._dataset[key]
        except BrokenImage:
            return None


class Loader:
    """Loader of batches of images. Each ``iter`` starts from the beginning. Memory is pinned if CUDA is available.

    Args:
        batches: Data set that makes a batch from its keys.
        batch_keys: The keys of every batch.
        num_workers: Processes that decode; 0 decodes in this one.
        seed: Seed of third-party draws in workers; the global random numbers of torch are not touched.

    Raises:
        DataError: While iterating: see `ImageSet.item`, or the images of a batch differ in size.
    """

    def __init__(self, batches: _Batches, batch_keys: Iterable[list[Any]], num_workers: int, seed: int) -> None:
        self._loader: DataLoader[Item] | None = None
        self._make: Callable[[], DataLoader[Item]] = partial(
            DataLoader,
            batches,
            batch_sampler=batch_keys,
            num_workers=num_workers,
            collate_fn=_as_made,
            worker_init_fn=_leave_signals_to_the_parent if num_workers else None,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=num_workers > 0,
            generator=torch.Generator().manual_seed(seed),
        )

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches, except those whose items are all broken."""
        self._loader = self._loader or self._make()
        refusal = ""
        for batch in self._loader:
            if isinstance(batch, DataError):
                refusal = str(batch)
                break
            if batch:
                yield batch
        if refusal:
            self._loader = (
                None  # ends the workers; the garbage collector would be blocked for seconds by ending them later
            )
            raise DataError(refusal)


def make_loader(
    dataset: ImageSet,
    batch_size: int,
    *,
    seed: int,
    start_image: int = 0,
    num_workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> Loader:
    """Return an endless stream of batches for training, which depends on the data set, seed and position alone.

    To resume, pass the number of images that were served: exactly the same batches follow, with any number of
    workers. The next intact image replaces a broken one.

    Args:
        dataset: Data set to serve, usually opened with ``augment``.
        batch_size: Images in a batch of one process.
        seed: At least 0.
        start_image: Number of images that all processes together have served before.
        num_workers: Processes that decode; 0 decodes in this one.
        rank: Number of this process.
        world_size: Number of processes. See `VisitBatches`.
    """
    visits = VisitBatches(dataset, batch_size, seed, start_image, rank, world_size)
    return Loader(_Stream(dataset), visits, num_workers, seed)


def make_ordered_loader(
    dataset: ImageSet,
    batch_size: int,
    *,
    num_workers: int = 0,
    max_images: int | None = None,
) -> Loader:
    """Return every item once, in order, for evaluation. Broken images are skipped and in `ImageSet.broken_names`.

    Args:
        dataset: Data set to serve, usually opened without ``augment``.
        batch_size: Images in a batch; the last one may hold fewer.
        num_workers: Processes that decode; 0 decodes in this one. They persist for the next pass.
        max_images: Number of items to serve, from the first; all by default.
    """
    num_images = len(dataset) if max_images is None else min(max_images, len(dataset))
    indices = range(num_images)
    keys = [list(indices[first : first + batch_size]) for first in range(0, len(indices), batch_size)]
    return Loader(_Once(dataset), keys, num_workers, seed=0)


def collate(items: Sequence[Item]) -> Batch:
    """Collate items into one batch; an empty one for no items.

    Raises:
        DataError: Their images differ in size.
    """
    if not items:
        return {}
    first = items[0]
    for role in (role for role, value in first.items() if isinstance(value, torch.Tensor)):
        for item in items:
            if item[role].shape != first[role].shape:
                raise DataError(f"batch: got '{role}' of {_different(first, item, role)}")
    return default_collate(list(items))


def _different(first: Item, item: Item, role: str) -> str:
    """Return the end of a message about two items of different shapes."""
    shapes = [one[role].shape for one in (first, item)]
    images = all(len(shape) == 3 and shape[0] == shapes[0][0] for shape in shapes)
    sizes = ("x".join(map(str, shape[-2:] if images else shape)) for shape in shapes)
    names = " and ".join(f"{one['name']} of {size}" for one, size in zip((first, item), sizes, strict=True))
    if images:
        return f"{names} (height x width), expected one size; set transform.crop_size, or transform.resize to 'exact'"
    return f"{names}, expected one shape; crop them, with crop or seconds"


def _leave_signals_to_the_parent(_: int) -> None:
    """Ignore Ctrl-C and SIGTERM in a worker, because they reach the whole process group; its parent ends it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _as_made(batch: Any) -> Any:
    return batch
