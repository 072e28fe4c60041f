"""A caller's own data: a data set, an iterable, or a function or class that makes one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.utils.data import DataLoader

from gancompress.data.config import DataConfig, register_data
from gancompress.data.image_set import ImageSet, Item, Visit
from gancompress.data.randomness import seeded
from gancompress.data.records import places_of, unsplit
from gancompress.data.tensor_set import by_name, named_item
from gancompress.errors import ConfigError, DataError
from gancompress.io.array_files import plain
from gancompress.registry import import_object

_MOST_HELD = 2**17
"""Number of items of an iterable that are kept in memory without ``num_items``."""


@register_data
class OwnConfig(DataConfig):
    """Items of a caller's own data: tensors or arrays, tuples (input, target), or dicts of tensors by name.

    A dict without "input" names the inputs of the network. An import path as ``kind`` is short for ``source``.

    Attributes:
        source: Import path of a ``torch.utils.data.Dataset``, of an iterable, or of a function or class that returns
            one. If it takes ``split`` it is called for each split, and if it takes ``augment`` it is told so; otherwise
            items are divided by the hash of their numbers: eight tenths to train, a tenth each for search and test.
        options: Arguments of the function or class.
        num_items: Number of items to take from the beginning. An iterable is read once and kept in memory; one without
            end needs this number.
    """

    kind = "own"
    has_targets = False
    holds_images = False

    source: str
    options: dict[str, Any] = Field(default_factory=dict)
    num_items: int | None = Field(default=None, ge=1)

    @field_validator("source")
    @classmethod
    def _exists(cls, source: str) -> str:
        try:
            import_object(source)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return source

    def split_names(self) -> list[str]:
        """Return the names of the splits that can be opened."""
        return list(unsplit())

    def open(self, split: str, augment: bool = False) -> OwnSet:
        """Open the data set of a split.

        Raises:
            ConfigError: There is no such split, or the options do not fit the function.
            DataError: It returns something else than data, or too little.
        """
        self._known_split(split)
        found, knows_splits = self._made(split, augment)
        items = _items(found, self.num_items, self.source)
        numbers = list(range(len(items)))
        if not knows_splits:
            low, high = unsplit()[split].fraction
            places = places_of([str(number) for number in numbers], exact=True)
            numbers = [number for number in numbers if low <= places[number] < high]
        if not numbers:
            raise DataError(f"{self.source}: got {len(items)} items, of which '{split}' gets none, expected more")
        return OwnSet(items, numbers, self.source, augment)

    def _made(self, split: str, augment: bool) -> tuple[Any, bool]:
        """Return the data, and whether it is that of the split alone."""
        found = import_object(self.source)
        if not isinstance(found, type) and (hasattr(found, "__getitem__") or hasattr(found, "__iter__")):
            if self.options:
                raise ConfigError(f"{self.source}: got options for data that is no function, expected none")
            return found, False
        if not callable(found):
            raise ConfigError(f"{self.source}: got a {type(found).__name__}, expected data or a function that makes it")
        signature = inspect.signature(found)
        known = {name: value for name, value in {"split": split, "augment": augment}.items()}
        known = {name: value for name, value in known.items() if name in signature.parameters}
        try:
            signature.bind(**{**known, **self.options})
        except TypeError as error:
            raise ConfigError(
                f"{self.source}: {error}; expected {', '.join(signature.parameters)} in options"
            ) from None
        return found(**{**known, **self.options}), "split" in known


class OwnSet(ImageSet):
    """Data set of a caller's items. Random numbers that they draw depend on the seed, the epoch and the item alone."""

    def __init__(self, items: Any, numbers: Sequence[int], where: str, augment: bool) -> None:
        self.augment = augment
        self._items, self._numbers, self._where = items, numbers, where

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._numbers)

    def item(self, visit: Visit) -> Item:
        """Return the item of a visit. Raises DataError if it is none."""
        number = self._numbers[visit.index]
        with seeded(visit.seed, visit.epoch, number):
            given = by_name(self._items[number])
        where = f"{self._where}: item {number}"
        if not isinstance(given, Mapping):
            raise DataError(
                f"{where} is a {type(given).__name__}, expected a tensor, a tuple (input, target) or a dict of tensors"
            )
        name = str(given.get("name", f"item-{number:06d}"))
        fields = {key: value for key, value in given.items() if key not in ("name", "index")}
        tensors = {str(key): _tensor(value, f"{where}: '{key}'") for key, value in fields.items()}
        return named_item(tensors, name, visit.index)


def _items(found: Any, num_items: int | None, where: str) -> Any:
    """Return data with numbered items."""
    if isinstance(found, DataLoader):
        raise DataError(f"{where}: got a DataLoader, expected its data set: batches are made here; give that")
    if hasattr(found, "__getitem__") and hasattr(found, "__len__") and not isinstance(found, Mapping):
        return found if num_items is None else _First(found, num_items)
    if not isinstance(found, Iterable) or isinstance(found, Mapping | str):
        raise DataError(f"{where}: got a {type(found).__name__}, expected a Dataset or an iterable of items")
    with seeded(0, 0, 0):
        held = list(islice(found, num_items or _MOST_HELD + 1))
    if num_items is None and len(held) > _MOST_HELD:
        raise DataError(f"{where}: got more than {_MOST_HELD:,} items, expected num_items for data without end; set it")
    return held


class _First:
    """The first items of a data set."""

    def __init__(self, items: Any, count: int) -> None:
        self._items, self._count = items, min(count, len(items))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self._items[index]


def _tensor(value: Any, where: str) -> Tensor:
    if isinstance(value, Tensor | np.ndarray | int | float | bool):
        return plain(torch.as_tensor(value), where)
    raise DataError(f"{where} is a {type(value).__name__}, expected a tensor, an array or a number")
