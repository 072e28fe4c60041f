"""Values that are rounded twice: as what one layer returns, and again as what the next one takes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gancompress.cost.measured import evaluation_mode
from gancompress.quantization.attach import quantized_layers
from gancompress.quantization.calibration import Batch, as_inputs

_PASSING: frozenset[Callable[..., Any]] = frozenset(
    (
        F.relu,
        torch.relu,
        torch.relu_,
        Tensor.relu,
        Tensor.relu_,
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
"""What only moves values, or cuts them where the next range ends."""


def round_once(network: nn.Module, inputs: Batch) -> nn.Module:
    """Take the rounding of outputs from layers whose outputs the next layer rounds, in place.

    That is where all that comes between is ReLU and what moves values, and one layer alone takes the result. What a
    layer returns before a ReLU needs a range of both signs, the next layer's range is of the positive ones only, and
    onnxruntime computes a convolution and the ReLU behind it in integers at once where nothing is rounded between them.

    Args:
        network: A quantized network whose ranges are known.
        inputs: An input, to see what goes where.
    """
    layers = quantized_layers(network)
    with torch.no_grad(), evaluation_mode(network), _Followed(list(layers.values())) as followed:
        followed.see(network(*as_inputs(inputs)))
    for layer in followed.rounded_again():
        layer.register_module("output_quantizer", None)
    return network


@dataclass(eq=False)
class _Output:
    """What a layer returned in one call, and who took it."""

    layer: nn.Module
    takers: int = 0
    seen: bool = False


class _Followed(TorchFunctionMode):
    """Follows the outputs of layers through a pass of a network."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self._layers, self._inside = layers, 0
        self._outputs: list[_Output] = []
        self._of: dict[int, _Output] = {}
        self._kept: list[Tensor] = []  # so that no two tensors get one id
        self._hooks = ExitStack()

    def rounded_again(self) -> set[nn.Module]:
        """Layers whose every output was taken by one layer with a range for it, and seen by nothing else."""
        again = {each.layer for each in self._outputs}
        return again - {each.layer for each in self._outputs if each.seen or each.takers != 1}

    def see(self, *values: Any) -> None:
        """Something that does not round takes values: tensors, or lists or tuples of them."""
        for output in self._among(values):
            output.seen = True

    def __enter__(self) -> _Followed:
        for layer in self._layers:
            self._hooks.callback(layer.register_forward_pre_hook(self._taken).remove)
            self._hooks.callback(layer.register_forward_hook(self._returned).remove)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._hooks.close()
        super().__exit__(*error)

    def _taken(self, layer: Any, args: tuple[Tensor, ...]) -> None:
        self._inside += 1
        for output in self._among(args):
            output.takers += 1
            output.seen = output.seen or layer.input_quantizer is None

    def _returned(self, layer: nn.Module, args: tuple[Tensor, ...], result: Tensor) -> None:
        self._inside -= 1
        self._outputs.append(_Output(layer))
        self._follow(result, self._outputs[-1])

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self._inside:
            taken = (*args, *(kwargs or {}).values())
            if func in _PASSING:
                for output in self._among(taken):
                    self._follow(result, output)
            elif not _asks(func):
                self.see(*taken)
        return result

    def _among(self, values: Sequence[Any]) -> Iterator[_Output]:
        for value in values:
            if isinstance(value, list | tuple):
                yield from self._among(value)
            elif isinstance(value, Tensor) and id(value) in self._of:
                yield self._of[id(value)]

    def _follow(self, values: Tensor, output: _Output) -> None:
        self._kept.append(values)
        self._of[id(values)] = output


def _asks(func: Any) -> bool:
    """Whether a function only looks up a property, such as the shape."""
    return getattr(func, "__name__", "") in ("__get__", "size", "dim")
