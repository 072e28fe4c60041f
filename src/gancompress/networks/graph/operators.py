"""Operators of graphs on tensors, by name. Options are plain values; axes count from 0, layouts are channels first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.networks.graph.resampling import RESAMPLING
from gancompress.networks.graph.sizes import SIZE_OPERATORS, is_size


def apply(name: str, values: list[Any], options: dict[str, Any]) -> Any:
    """Apply an operator: to sizes if all its values are sizes, else to tensors.

    Args:
        name: Name of the operator, one of `operator_names`.
        values: Its inputs; None for one that is left out.
        options: Its options.
    """
    given = [value for value in values if value is not None]
    if name in SIZE_OPERATORS and given and all(map(is_size, given)):
        return SIZE_OPERATORS[name](*values, **options)
    return OPERATORS[name](*values, **options)


def _tensor(value: Any, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, device=like.device)


def _elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors, numbers and lists, which become tensors beside the first tensor."""

    def apply_to(*values: Any) -> Any:
        like = next((value for value in values if isinstance(value, Tensor)), None)
        if like is None:
            like = torch.empty(0)
        return function(*(torch.tensor(v, device=like.device) if isinstance(v, list) else v for v in values))

    return apply_to


def _divide(a: Any, b: Any) -> Any:
    whole = not any(isinstance(v, float) or (isinstance(v, Tensor) and v.is_floating_point()) for v in (a, b))
    return torch.div(a, b, rounding_mode="trunc") if whole else a / b


def _compared(name: str) -> Callable[..., Any]:
    function = getattr(torch, name)
    return _elementwise(lambda a, b: function(_tensor(a, b), b) if isinstance(b, Tensor) else function(a, b))


def _where(condition: Any, yes: Any, no: Any) -> Tensor:
    like = next(value for value in (condition, yes, no) if isinstance(value, Tensor))
    return torch.where(_tensor(condition, like), _tensor(yes, like), _tensor(no, like))


def _clamp(x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    return x.clamp(low, high)


def _cast(x: Any, dtype: str) -> Any:
    return x.to(getattr(torch, dtype)) if isinstance(x, Tensor) else x


def _reshape(x: Tensor, shape: list[int]) -> Tensor:
    return x.reshape([x.shape[axis] if size == 0 and axis < x.ndim else size for axis, size in enumerate(shape)])


def _flatten(x: Tensor, axis: int = 1) -> Tensor:
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _concat(*values: Any, axis: int) -> Tensor:
    like = next(value for value in values if isinstance(value, Tensor))
    return torch.cat([_tensor(value, like) for value in values], axis)


def _slice(x: Tensor, starts: list[int], ends: list[int], axes: list[int] | None = None, steps: Any = None) -> Tensor:
    for i, axis in enumerate(axes or range(len(starts))):
        step, size = steps[i] if steps else 1, x.shape[axis]
        if step < 0:  # reversed as a whole, the one form in use
            x = x.flip(axis)
        else:
            index = [slice(None)] * x.ndim
            index[axis] = slice(starts[i], ends[i] if ends[i] < size else None, step)
            x = x[tuple(index)]
    return x


def _gather(x: Tensor, index: Any, axis: int = 0) -> Tensor:
    if isinstance(index, int):
        return x.select(axis, index)
    indices = _tensor(index, x)
    axis %= x.ndim
    return x.index_select(axis, indices.flatten()).unflatten(axis, indices.shape) if indices.ndim else x.select(
        axis, int(indices)
    )  # fmt: skip


def _squeeze(x: Tensor, axes: Any = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(axes) if isinstance(axes, list) else axes)


def _unsqueeze(x: Tensor, axes: Any) -> Tensor:
    axes = axes if isinstance(axes, list) else [axes]
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _split(x: Tensor, sizes: Any = None, axis: int = 0, parts: int | None = None) -> tuple[Tensor, ...]:
    if parts is not None:
        return x.chunk(parts, axis)
    return tuple(x.split([int(size) for size in sizes], axis))


def _expand(x: Any, shape: list[int]) -> Tensor:
    x = _tensor(x, torch.empty(0))
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape)))


def _full(shape: list[int], value: Any) -> Tensor:
    return torch.full(tuple(shape), value)


def _reduced(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduce(x: Tensor, axes: Any = None, keepdims: bool = True) -> Tensor:
        return function(x, tuple(axes) if axes else tuple(range(x.ndim)), keepdims)

    return reduce


_UNARY: dict[str, Callable[..., Any]] = {
    **{name: getattr(torch, name) for name in ("abs", "neg", "exp", "log", "sqrt", "sin", "cos", "erf", "sigmoid")},
    **{name: getattr(torch, name) for name in ("tanh", "floor", "ceil", "round", "sign", "reciprocal", "atan")},
    "not": torch.logical_not,
    "relu": F.relu,
    "softsign": F.softsign,
    "mish": F.mish,
    "silu": F.silu,
    "hard_swish": F.hardswish,
    "identity": lambda x: x,
}

OPERATORS: dict[str, Callable[..., Any]] = {
    **_UNARY,
    **RESAMPLING,
    "leaky_relu": lambda x, slope: F.leaky_relu(x, slope),
    "elu": lambda x, alpha: F.elu(x, alpha),
    "selu": F.selu,
    "celu": lambda x, alpha: F.celu(x, alpha),
    "softplus": F.softplus,
    "gelu": lambda x, approximate="none": F.gelu(x, approximate=approximate),
    "hard_sigmoid": lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1),
    "clamp": _clamp,
    "softmax": lambda x, axis: F.softmax(x, axis),
    "log_softmax": lambda x, axis: F.log_softmax(x, axis),
    "add": _elementwise(lambda a, b: a + b),
    "sub": _elementwise(lambda a, b: a - b),
    "mul": _elementwise(lambda a, b: a * b),
    "div": _elementwise(_divide),
    "mod": _elementwise(lambda a, b: a % b),
    "pow": _elementwise(lambda a, b: a**b),
    "min": _elementwise(lambda a, b: a.clamp(max=b)),
    "max": _elementwise(lambda a, b: a.clamp(min=b)),
    "equal": _compared("eq"),
    "greater": _compared("gt"),
    "less": _compared("lt"),
    "and": torch.logical_and,
    "or": torch.logical_or,
    "where": _where,
    "cast": _cast,
    "matmul": torch.matmul,
    "einsum": lambda *values, equation: torch.einsum(equation, *values),
    "shape": lambda x, start=0, end=None: list(x.shape)[start:end],
    "reshape": _reshape,
    "flatten": _flatten,
    "transpose": lambda x, axes=None: x.permute(axes or tuple(reversed(range(x.ndim)))),
    "concat": _concat,
    "slice": _slice,
    "gather": _gather,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "split": _split,
    "expand": _expand,
    "tile": lambda x, repeats: x.repeat(repeats),
    "full": _full,
    "range": lambda start, stop, step: torch.arange(start, stop, step),
    "reduce_mean": _reduced(lambda x, axes, keep: x.mean(axes, keep)),
    "reduce_sum": _reduced(lambda x, axes, keep: x.sum(axes, keep)),
    "reduce_max": _reduced(lambda x, axes, keep: x.amax(axes, keep)),
    "reduce_min": _reduced(lambda x, axes, keep: x.amin(axes, keep)),
    "reduce_l2": _reduced(lambda x, axes, keep: torch.linalg.vector_norm(x, dim=axes, keepdim=keep)),
    "reduce_square_sum": _reduced(lambda x, axes, keep: x.square().sum(axes, keep)),
    "normalize": lambda x, axis, p: F.normalize(x, p=p, dim=axis, eps=0.0),
}
"""Operators on tensors, by name."""


def operator_names() -> set[str]:
    """Return the names of all operators."""
    return {*OPERATORS, *SIZE_OPERATORS}
