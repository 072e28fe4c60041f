"""Flow of values through a forward pass: the layer that returns each value, and the layers and sums that take it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from gancompress.cost.measured import evaluation_mode
from gancompress.networks.outputs import tensors_of
from gancompress.quantization.layers import QuantizedLayer

_MOVING: frozenset[Callable[..., Any]] = frozenset(
    (
        F.dropout,  # the identity in evaluation mode
        F.pad,
        F.pixel_shuffle,
        torch.pixel_shuffle,
        Tensor.__getitem__,
        Tensor.contiguous,
        Tensor.permute,
        Tensor.reshape,
        Tensor.view,
    )
)
_JOINING: frozenset[Callable[..., Any]] = frozenset((torch.cat, torch.concat))
_CUTTING: frozenset[Callable[..., Any]] = frozenset((F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_))
_ADDING: frozenset[Callable[..., Any]] = frozenset((torch.add, Tensor.add, Tensor.__add__))


@dataclass(eq=False)
class Value:
    """A value that a layer, a ReLU or a sum returned in one call; reshaping and slicing do not make a new one.

    Attributes:
        layer: The quantized layer that returned it; None for that of a ReLU or a sum.
        parts: The two operands of a sum; None for an operand of another origin.
        module: The module that returned it; None if no module did.
        takers: Layers that take it and round their input, once for each call.
        cuts: Results of ReLU on it.
        sums: The sums that take it.
        sliced: Whether only a part of it is used somewhere; the range of the part does not hold for the rest.
        seen: Whether anything else takes it, or the network returns it.
    """

    layer: QuantizedLayer | None = None
    parts: tuple[Value | None, ...] = ()
    module: nn.Module | None = None
    takers: list[QuantizedLayer] = field(default_factory=list)
    cuts: list[Value] = field(default_factory=list)
    sums: list[Value] = field(default_factory=list)
    sliced: bool = False
    seen: bool = False


def values_of(network: nn.Module, inputs: tuple[Tensor, ...]) -> list[Value]:
    """Return the values of a pass in evaluation mode, in the order of their computation.

    Args:
        network: A quantized network whose ranges are known.
        inputs: Inputs of the network.
    """
    with torch.no_grad(), evaluation_mode(network), _Pass(network) as seen:
        seen.returns(network(*inputs))
    return seen.values


class _Pass(TorchFunctionMode):
    """Torch function mode that records the values of a pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.values: list[Value] = []
        self._network, self._inside = network, 0
        self._of = WeakTensorKeyDictionary()  # by identity; it keeps no tensor of the pass alive
        self._hooks = ExitStack()

    def returns(self, result: Any) -> None:
        """Record the output of the network."""
        self._look_at(tensors_of(result))

    def __enter__(self) -> _Pass:
        for module in self._network.modules():
            if isinstance(module, QuantizedLayer):
                self._hooks.callback(module.register_forward_pre_hook(self._taken).remove)
                self._hooks.callback(module.register_forward_hook(self._returned).remove)
            self._hooks.callback(module.register_forward_hook(self._left).remove)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._hooks.close()
        super().__exit__(*error)

    def _taken(self, layer: Any, args: tuple[Tensor, ...]) -> None:
        self._inside += 1
        for value in self._among(args):
            if layer.input_quantizer is None:
                value.seen = True
            else:
                value.takers.append(layer)

    def _returned(self, layer: Any, args: tuple[Tensor, ...], result: Tensor) -> None:
        self._inside -= 1
        self._make(result, Value(layer=layer))

    def _left(self, module: nn.Module, args: Any, result: Any) -> None:
        """Record the outermost module that returned a value, in-place changes included, until the value is taken."""
        value = self._value_of(result)
        if value is not None and not value.takers and not value.sums:
            value.module = module

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = (*args, *(kwargs or {}).values())
        parts = [self._value_of(each) for each in args[:2]] if func in _ADDING else []
        result = func(*args, **(kwargs or {}))
        if self._inside or _asks(func):
            return result
        if func in _MOVING or (func in _JOINING and self._is_one(args[0])):
            for value in self._among(given):
                value.sliced = value.sliced or func is Tensor.__getitem__
                self._follow(result, value)
        elif func in _CUTTING:
            for value in self._among(given):
                value.cuts.append(self._make(result, Value()))
        elif len(parts) == 2 and not (kwargs or {}):
            total = self._make(result, Value(parts=tuple(parts)))
            for part in filter(None, parts):
                part.sums.append(total)
        else:
            self._look_at(given)
            self._forget(result)  # a tensor changed in place is a new value
        return result

    def _is_one(self, tensors: Sequence[Tensor]) -> bool:
        """Return True if all tensors belong to one value, such as the rows of a shuffle."""
        return len({id(self._value_of(each)) for each in tensors}) == 1

    def _look_at(self, values: Sequence[Any]) -> None:
        for value in self._among(values):
            value.seen = True

    def _among(self, values: Sequence[Any]) -> Iterator[Value]:
        for value in values:
            if isinstance(value, list | tuple):
                yield from self._among(value)
            elif (known := self._value_of(value)) is not None:
                yield known

    def _make(self, result: Tensor, value: Value) -> Value:
        self.values.append(value)
        self._follow(result, value)
        return value

    def _follow(self, result: Tensor, value: Value) -> None:
        self._of[result] = value

    def _value_of(self, result: Any) -> Value | None:
        return self._of.get(result) if isinstance(result, Tensor) else None

    def _forget(self, result: Any) -> None:
        if isinstance(result, Tensor):
            self._of.pop(result, None)


def _asks(func: Any) -> bool:
    """Return True if a function only reads a property, such as the shape."""
    return getattr(func, "__name__", "") in ("__get__", "size", "dim")
