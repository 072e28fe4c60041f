"""Batches from any kind of data, for the training loop and the methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import nullcontext
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancompress.data.randomness import seeded
from gancompress.data.tensor_set import by_name
from gancompress.errors import DataError
from gancompress.networks.given import Given, NamedInputs, arguments
from gancompress.networks.given import joined as joined_inputs
from gancompress.training import Batch

Data = Iterable[Any] | Callable[[], Iterable[Any]]
"""Batches: a `torch.utils.data.DataLoader`, a list, any other iterable, or a function that returns one.

A batch is a tensor of inputs [b, ...], a tuple (input, target), or a dict with ``input`` and optionally ``target``.
A dict without ``input`` holds inputs by the names of the arguments of the network's ``forward``. NumPy arrays count as
tensors.
"""


class Batches:
    """Batches as dicts with ``input``, [b, ...] or `NamedInputs`, and, if the data has it, ``target``."""

    def __init__(self, data: Data, name: str = "loader") -> None:
        """Read the first batch.

        Args:
            data: The batches.
            name: Name of the argument, for messages.

        Raises:
            DataError: There is no batch, or one of an unknown kind.
        """
        self._name = name
        self._data = data = _several(data, name)
        self._once = isinstance(data, Iterator)
        passing = self._pass()
        first = next(passing, None)
        if first is None:
            raise DataError(f"{name}: got no batch, expected at least one; check the data set and its batch size")
        self.first: Batch = first
        self._rest = chain([first], passing) if self._once else None

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over all batches, once.

        Raises:
            DataError: A batch is of an unknown kind.
        """
        if self._rest is not None:
            given, self._rest = self._rest, iter(())
            return given
        return self._pass()

    def inputs(self, max_images: int | None = None) -> Iterator[Given]:
        """Yield the inputs of the first images, batch by batch; of all images by default."""
        yield from _first(self, max_images)

    def stream(self, start: int, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield batches of one size without end, from a position; the same seed gives the same batches.

        Random numbers that the data draws (shuffling, augmentation) depend only on the seed, the pass and the batch.

        Args:
            start: Images to skip.
            batch_size: Images of a batch; passes follow each other without a smaller batch at their end.
            seed: Seed of shuffling and augmentation.

        Raises:
            DataError: The data ended and cannot be read again, or a batch would mix images of different sizes.
        """
        held: list[Batch] = []
        num_held = 0
        for batch in self._from(start, seed):
            if not held and _size(batch) == batch_size:
                yield batch
                continue
            held.append(batch)
            num_held += _size(batch)
            while num_held >= batch_size:
                together = _joined(held, self._name)
                yield _part(together, 0, batch_size)
                num_held -= batch_size
                held = [_part(together, batch_size, None)] if num_held else []

    def _from(self, start: int, seed: int) -> Iterator[Batch]:
        """Yield batches from a position on, pass after pass."""
        number, skip, per_pass = 0, start, 0
        while True:
            if per_pass and isinstance(self._data, Sized) and skip >= per_pass:
                number, skip = number + skip // per_pass, skip % per_pass
            count = 0
            passing = iter(self) if self._once else self._pass((seed, number))
            for batch in passing:
                size = _size(batch)
                count += size
                if skip >= size:
                    skip -= size
                    continue
                yield _part(batch, skip, None) if skip else batch
                skip = 0
            if not count and number:
                raise DataError(
                    f"{self._name}: got an iterator that ended after {per_pass:,} images, expected data that can be "
                    "read again; give a list, a DataLoader, or the function that makes the iterator"
                )
            number, per_pass = number + 1, count

    def _pass(self, seed: tuple[int, int] | None = None) -> Iterator[Batch]:
        """Yield one pass over the data; a seed makes its random numbers reproducible."""
        with nullcontext() if seed is None else seeded(*seed, 0):
            if seed is not None:
                _seed_own_generators(self._data)
            batches = iter(self._data() if callable(self._data) else self._data)
        index = 0
        while True:
            index += 1
            with nullcontext() if seed is None else seeded(*seed, index):
                given = next(batches, _END)
            if given is _END:
                return
            yield _as_batch(given, index, self._name)


_END = object()


def inputs_of(data: Data, max_images: int | None = None, name: str = "batches") -> Iterator[Given]:
    """Yield the inputs of the first images, batch by batch; unlike `Batches`, reads nothing before the first is asked.

    Args:
        data: The batches.
        max_images: Images to yield; all by default.
        name: Name of the argument, for messages.

    Raises:
        DataError: A batch is of an unknown kind.
    """
    data = _several(data, name)
    batches = enumerate(data() if callable(data) else data, start=1)
    return _first((_as_batch(batch, index, name) for index, batch in batches), max_images)


def _several(data: Data, name: str) -> Data:
    """Return one batch as a list of batches, and anything else unchanged. Raises DataError if it is no batches."""
    if isinstance(data, Tensor | np.ndarray | Mapping):
        return [data]
    if not callable(data) and not isinstance(data, Iterable):
        raise DataError(
            f"{name}: got {type(data).__name__}, expected batches: a DataLoader, a list, or a function that returns an "
            "iterable"
        )
    return data


def _first(batches: Iterable[Batch], max_images: int | None) -> Iterator[Given]:
    left = max_images
    for batch in batches:
        if left is not None and left <= 0:
            return
        yield batch["input"][:left]
        left = None if left is None else left - len(batch["input"])


def as_arguments(x: Any, network: Callable[..., Any]) -> tuple[Any, ...]:
    """Return the arguments of a network's forward pass.

    Args:
        x: All of them in a tuple or list, tensors by their names in a dict, or a single argument.
        network: The network.

    Raises:
        ConfigError: Names in a dict do not fit the network's ``forward``.
    """
    if isinstance(x, Mapping | NamedInputs):
        return arguments(network, x if isinstance(x, NamedInputs) else NamedInputs(x))
    return tuple(x) if isinstance(x, tuple | list) else (x,)


def batch_size_of(batches: Batches) -> int:
    """Return the number of images of the first batch."""
    return _size(batches.first)


def _as_batch(given: Any, index: int, name: str) -> Batch:
    given = {"input": given} if isinstance(given, NamedInputs) else by_name(given)
    if isinstance(given, Mapping) and "input" not in given:
        given = _several_inputs(given)
    if not isinstance(given, Mapping) or "input" not in given:
        got = f"a dict with {', '.join(map(repr, given))}" if isinstance(given, Mapping) else _described(given)
        raise DataError(
            f"{name}: batch {index} is {got}, expected a tensor, a tuple (input, target), or a dict with 'input'; "
            "give a function that yields such batches"
        )
    batch = {key: torch.as_tensor(value) if isinstance(value, np.ndarray) else value for key, value in given.items()}
    for key in ("input", "target"):
        if key in batch and not (
            isinstance(batch[key], NamedInputs) or (isinstance(batch[key], Tensor) and batch[key].ndim)
        ):
            raise DataError(f"{name}: '{key}' of batch {index} is {_described(batch[key])}, expected a tensor [b, ...]")
    parts = {**batch, **(batch["input"].tensors if isinstance(batch["input"], NamedInputs) else {})}
    sizes = {key: len(value) for key, value in parts.items() if isinstance(value, Tensor | list | tuple)}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{name}: batch {index} has parts of different lengths {sizes}, expected the same for all")
    return batch


def _several_inputs(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a batch of inputs by name, tensors [b, ...] other than ``target``, with them as ``input``."""
    tensors = {key: torch.as_tensor(value) for key, value in given.items() if isinstance(value, Tensor | np.ndarray)}
    named = {key: tensor for key, tensor in tensors.items() if key not in ("target", "index") and tensor.ndim}
    if not named:
        return given
    return {**{key: value for key, value in given.items() if key not in named}, "input": NamedInputs(named)}


def _described(value: Any) -> str:
    length = f" of {len(value)} elements" if isinstance(value, Sequence) and not isinstance(value, str) else ""
    return f"{type(value).__name__}{length}"


def _size(batch: Batch) -> int:
    return len(batch["input"])


def _part(batch: Batch, start: int, end: int | None) -> Batch:
    return {
        key: value[start:end] if isinstance(value, Tensor | NamedInputs | list | tuple) else value
        for key, value in batch.items()
    }


def _joined(batches: Sequence[Batch], name: str) -> Batch:
    if len(batches) == 1:
        return batches[0]
    joined: dict[str, Any] = {}
    for key, value in batches[0].items():
        parts = [batch[key] for batch in batches]
        if isinstance(value, NamedInputs):
            joined[key] = joined_inputs(parts)
        elif isinstance(value, Tensor):
            if len({part.shape[1:] for part in parts}) > 1:
                raise DataError(
                    f"{name}: got images of shapes {tuple(parts[0].shape[1:])} and {tuple(parts[-1].shape[1:])}, "
                    "expected one shape; crop them, or set batch_size to the size of the loader's batches"
                )
            joined[key] = torch.cat(parts)
        else:
            joined[key] = [each for part in parts for each in part] if isinstance(value, list | tuple) else value
    return joined


def _seed_own_generators(loader: Any) -> None:
    """Seed the generators of a DataLoader and its samplers from the global one."""
    parts = (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None))
    number = int(torch.randint(2**31, ()))
    for part in parts:
        if isinstance(generator := getattr(part, "generator", None), torch.Generator):
            generator.manual_seed(number)
