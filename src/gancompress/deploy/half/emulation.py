"""Emulation of half precision: float16 between operators, float32 inside them; and the error of each operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.deploy.axes import Inputs
from gancompress.deploy.file_options import Run
from gancompress.deploy.half.halved import rounded
from gancompress.deploy.half.mixed import (
    Mixed,
    Operators,
    floats,
    in_place,
    input_name,
    is_float,
    map_floats,
    own_tensors,
)
from gancompress.networks.outputs import tensors_of

_PRODUCERS = "_gancompress_producers"


def emulated(network: nn.Module, mixed: Mixed) -> Run:
    """Return a float32 network as a function that stores its values, and its weights, in float16.

    GPUs and neural processors store so and accumulate in float32. Operators in float32 are exact.
    """

    @torch.no_grad()
    def run(inputs: Inputs) -> list[Tensor]:
        given = [
            rounded(each) if is_float(each) and input_name(number) not in mixed.stored else each.clone()
            for number, each in enumerate(inputs)
        ]
        with _Stored(network, mixed).watching():
            result = network(*given)
        return tensors_of(result)

    return run


class _Stored(Operators):
    """Mode that rounds what the operators of a network return to float16."""

    def __init__(self, network: nn.Module, mixed: Mixed) -> None:
        super().__init__(network)
        self.mixed, self._own = mixed, own_tensors(network)

    def run_operator(self, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        exact = name in self.mixed.computed

        def weight(tensor: Tensor) -> Tensor:
            own = self._own.get(id(tensor))
            return tensor if exact or own is None or own in self.mixed.parameters else rounded(tensor)

        result = call(*map_floats(weight, args), **map_floats(weight, kwargs))
        if name in self.mixed.stored:
            return result
        if in_place(name, kwargs):
            args[0].copy_(rounded(args[0]))
            return result
        given = _memory(floats((args, kwargs)))
        # A view is rounded already, and stays one: what is written into it later belongs to both.
        return map_floats(lambda each: each if _memory([each]) & given else rounded(each), result)


@dataclass(frozen=True)
class OperatorError:
    """Error of one operator in half precision, on exact inputs.

    Attributes:
        name: Name of the operator, see `Mixed`.
        rounding_in: Error of its output if its inputs and weights are rounded, relative to the root mean square.
        rounding_out: The same if its output is rounded; infinite if a value leaves the range of float16.
        inputs: Names of the operators whose outputs it takes.
        parameters: Names of the parameters and buffers that it takes.
        shares: Whether its output shares memory with an input: it is a view, or written in place.
    """

    name: str
    rounding_in: float
    rounding_out: float
    inputs: frozenset[str]
    parameters: frozenset[str]
    shares: bool = False

    @property
    def multiplies(self) -> bool:
        """Return whether it has weights, or is a product of matrices."""
        return bool(self.parameters) or self.name.split(" ")[1] in _PRODUCTS


_PRODUCTS = ("matmul", "bmm", "mm", "baddbmm", "einsum", "scaled_dot_product_attention")


def operator_errors(network: nn.Module, batches: Iterable[Inputs]) -> list[OperatorError]:
    """Return the error of every operator of a float32 network, the largest over some inputs, in the order of calls."""
    found: dict[str, OperatorError] = {}
    for inputs in batches:
        given = [each.clone() for each in inputs]
        for number, each in enumerate(given):
            setattr(each, _PRODUCERS, frozenset({input_name(number)}))
        mode = _Measured(network)
        with torch.no_grad(), mode.watching():
            network(*given)
        found |= {name: _larger(found.get(name, error), error) for name, error in mode.errors.items()}
    return list(found.values())


def _larger(a: OperatorError, b: OperatorError) -> OperatorError:
    worst = max(a.rounding_in, b.rounding_in), max(a.rounding_out, b.rounding_out)
    return OperatorError(a.name, *worst, a.inputs | b.inputs, a.parameters | b.parameters, a.shares)


class _Measured(Operators):
    """Mode that runs a float32 network, and each operator once more with rounded inputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.errors: dict[str, OperatorError] = {}
        self._own = own_tensors(network)

    def run_operator(self, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        given = floats((args, kwargs))
        producers = _producers(given)
        own = frozenset(self._own[id(each)] for each in given if id(each) in self._own)
        shadow_args, shadow_kwargs = map_floats(rounded, args), map_floats(rounded, kwargs)
        shadow = call(*shadow_args, **shadow_kwargs)
        result = call(*args, **kwargs)
        written, memory = in_place(name, kwargs), _memory(given)
        exact, approximate = (
            (floats(args[:1]), floats(shadow_args[:1])) if written else (floats(result), floats(shadow))
        )
        if exact:
            self.errors[name] = OperatorError(
                name,
                max(_relative(a, b) for a, b in zip(approximate, exact, strict=True)),
                max(_relative(_in_range(each), each) for each in exact),
                producers,
                own,
                written or bool(memory & _memory(exact)),
            )
        for each in exact:
            setattr(each, _PRODUCERS, {name} | (producers if _memory([each]) & memory else set()))
        return result

    def run_unchanged(self, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        producers = _producers(floats((args, kwargs)))
        result = call(*args, **kwargs)
        for each in floats(result):
            if id(each) not in self._own and producers:
                setattr(each, _PRODUCERS, producers)
        return result


def _memory(tensors: Iterable[Tensor]) -> set[int]:
    """Return the addresses of the memory of tensors."""
    return {each.untyped_storage().data_ptr() for each in tensors}


def _producers(tensors: Iterable[Tensor]) -> frozenset[str]:
    return frozenset(name for each in tensors for name in getattr(each, _PRODUCERS, ()))


_MARGIN = 2.0
"""Factor by which values of other inputs may be larger than those that were seen."""


def _in_range(values: Tensor) -> Tensor:
    """Return values as float16 stores them, infinite where twice the value would be."""
    return rounded(values * _MARGIN) / _MARGIN


def _relative(got: Tensor, expected: Tensor) -> float:
    """Return the root mean square error, relative to that of the values; of infinite ones whether they are the same."""
    finite = expected.isfinite()
    if not bool((got == expected)[~finite].all()):
        return float("inf")
    error, size = (each[finite].square().mean().sqrt() for each in (got - expected, expected))
    if not finite.any() or not error > 0:
        return float("inf") if finite.any() and error.isnan() else 0.0
    return float("inf") if error.isnan() or not size > 0 else float(error / size)
