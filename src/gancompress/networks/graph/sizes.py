"""Operators on sizes: numbers and lists of numbers that a graph computes from shapes, kept out of tensors."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch

Number = Any
"""An integer, a symbolic integer of an export, a float or a bool."""


def is_size(value: Any) -> bool:
    """Return whether a value is a number or a list of numbers."""
    return not hasattr(value, "dtype") or isinstance(value, list | int | float | bool)


def _each(function: Callable[..., Number]) -> Callable[..., Any]:
    """Return an elementwise function of numbers and of lists, which are broadcast."""

    def apply(*values: Any) -> Any:
        lengths = {len(value) for value in values if isinstance(value, list)}
        if not lengths:
            return function(*values)
        longest = max(lengths)
        columns = [(value if len(value) > 1 else value * longest) if isinstance(value, list) else [value] * longest
                   for value in values]  # fmt: skip
        return [function(*row) for row in zip(*columns, strict=True)]

    return apply


def _divide(a: Number, b: Number) -> Number:
    return a / b if isinstance(a, float) or isinstance(b, float) else a // b


def _cast(value: Any, dtype: str) -> Any:
    kind = float if dtype.startswith("float") else bool if dtype == "bool" else int
    return _each(lambda each: each if kind is int and not isinstance(each, float | bool) else kind(each))(value)


def _gather(values: Any, index: Any, axis: int = 0) -> Any:
    return [values[i] for i in index] if isinstance(index, list) else values[index]


def _concat(*values: Any, axis: int = 0) -> list[Number]:
    return [each for value in values for each in (value if isinstance(value, list) else [value])]


def _slice(values: list[Number], starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> list[Number]:
    start, end, step = (each[0] if isinstance(each, list) else each for each in (starts, ends, steps or 1))
    return values[start:end:step]


def _unsqueeze(value: Any, axes: Any = None) -> Any:
    return value if isinstance(value, list) else [value]


def _squeeze(value: Any, axes: Any = None) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _full(shape: list[int], value: Number) -> Any:
    return [value] * shape[0] if len(shape) == 1 else value if not shape else None


def _range(start: int, stop: int, step: int) -> list[int]:
    return list(range(start, stop, step))


def _prod(values: Any, axes: Any = None, keepdims: bool = True) -> Any:
    product = math.prod(values) if isinstance(values, list) else values
    return [product] if keepdims else product


def _reshape(values: Any, shape: list[int]) -> Any:
    if len(shape) > 1:
        return torch.tensor(values).reshape(shape)
    return _unsqueeze(values) if shape else _squeeze(values)


def _split(values: list[Number], sizes: Sequence[int], axis: int = 0) -> tuple[list[Number], ...]:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(values[start : start + size] for start, size in zip(starts, sizes, strict=True))


SIZE_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": _each(operator.add),
    "sub": _each(operator.sub),
    "mul": _each(operator.mul),
    "div": _each(_divide),
    "mod": _each(operator.mod),
    "neg": _each(operator.neg),
    "floor": _each(math.floor),
    "ceil": _each(math.ceil),
    "min": _each(min),
    "max": _each(max),
    "equal": _each(operator.eq),
    "less": _each(operator.lt),
    "greater": _each(operator.gt),
    "not": _each(operator.not_),
    "where": _each(lambda condition, yes, no: yes if condition else no),
    "cast": _cast,
    "gather": _gather,
    "concat": _concat,
    "slice": _slice,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "identity": lambda value: value,
    "full": _full,
    "range": _range,
    "reduce_prod": _prod,
    "reshape": _reshape,
    "split": _split,
    "expand": lambda value, shape: (
        (value if isinstance(value, list) else [value]) * (shape[0] if shape else 1)
        if not isinstance(value, list) or len(value) == 1
        else value
    ),
}
"""Operators that graphs apply to sizes, by name; each has a namesake on tensors."""
