"""Operators of a network by name, and those that stay in float32 in a half-precision network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_any, tree_leaves, tree_map_only


@dataclass(frozen=True)
class Mixed:
    """Operators and tensors of a half-precision network that stay in float32.

    An operator has the name "path function number": the path of the innermost module that calls it, and the number of
    its call among those of the same name.

    Attributes:
        computed: Names of the operators that compute in float32.
        stored: Those of them, and names of inputs, whose values stay float32 for the next operator, too.
        parameters: Names of the parameters and buffers that stay float32.
    """

    computed: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()

    @property
    def layers(self) -> tuple[str, ...]:
        """Paths of the modules that call the operators in float32, sorted; of the network's own code the functions."""
        return tuple(sorted({place_of(name) for name in self.computed}))


def place_of(operator: str) -> str:
    """Return the path of the module that calls an operator; the function if it is the network itself."""
    path, function, _ = operator.split(" ")
    return path or function


def input_name(number: int) -> str:
    """Return the name of an input of the network, in the place of an operator's."""
    return f" input {number}"


class Operators(TorchFunctionMode):
    """Mode that runs the operators of a network by `run_operator`, with their names.

    Functions that return no floating-point tensor, conversions of types, and attributes such as ``T`` run unchanged.
    """

    def __init__(self, network: nn.Module) -> None:
        """Prepare one run of a network."""
        super().__init__()
        self.network = network
        self._places, self._calls = [""], Counter[str]()

    def run_operator(self, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run one operator."""
        raise NotImplementedError

    def run_unchanged(self, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run a function that is no operator."""
        return call(*args, **kwargs)

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run a function."""
        name = getattr(function, "__name__", str(function))
        if name in _NO_OPERATORS or not tree_any(is_float, (args, kwargs)):
            return self.run_unchanged(function, args, kwargs or {})
        called = f"{self._places[-1]} {name}"
        self._calls[called] += 1
        return self.run_operator(f"{called} {self._calls[called]}", function, args, dict(kwargs or {}))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow the modules that run, and be the mode."""
        with ExitStack() as stack:
            for path, module in self.network.named_modules():
                before = module.register_forward_pre_hook(lambda *_, path=path: self._places.append(path))
                after = module.register_forward_hook(lambda *_: _none(self._places.pop()))
                stack.callback(before.remove)
                stack.callback(after.remove)
            stack.enter_context(self)
            yield


_NO_OPERATORS = frozenset(
    {"to", "half", "float", "double", "bfloat16", "type", "type_as", "__get__", "__set__", "size", "dim", "numel"}
    | {"is_floating_point", "stride", "is_complex", "__len__", "is_contiguous", "ndimension", "element_size"}
)
"""Names of functions that convert or describe tensors."""


def is_float(value: Any) -> bool:
    """Return whether a value is a tensor of float32 or float16."""
    return isinstance(value, Tensor) and value.dtype in (torch.float32, torch.float16)


def floats(tree: Any) -> list[Tensor]:
    """Return the floating-point tensors in arguments or results."""
    return [each for each in tree_leaves(tree) if is_float(each)]


def map_floats(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """Change the floating-point tensors in arguments or results."""
    return tree_map_only(Tensor, lambda each: change(each) if is_float(each) else each, tree)


def in_place(name: str, kwargs: Mapping[str, Any]) -> bool:
    """Return whether an operator writes into its first argument."""
    function = name.split(" ")[1]
    written = function.endswith("_") and not function.endswith("__")
    return written or function in ("__setitem__", *_IN_PLACE) or bool(kwargs.get("inplace"))


_IN_PLACE = tuple(f"__i{each}__" for each in ("add", "sub", "mul", "truediv", "div", "pow"))


def own_tensors(network: nn.Module) -> dict[int, str]:
    """Return the names of the parameters and buffers of a network by identity."""
    named = (*network.named_parameters(), *network.named_buffers())
    return {id(tensor): name for name, tensor in named if tensor.is_floating_point()}


def _none(_: Any) -> None:
    """Return None, so that a hook keeps the output of a module."""
