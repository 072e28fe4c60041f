"""Network in half precision, with operators in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.deploy.half.mixed import Mixed, Operators, floats, in_place, input_name, map_floats
from gancompress.deploy.parity import DEFAULT_TOLERANCE

HALF_TOLERANCE = 64 * DEFAULT_TOLERANCE
"""Eight steps of an 8-bit image, at the worst pixel of an image."""


class Halved(nn.Module):
    """Network whose weights and activations are float16; modules that ask for float32 compute in it."""

    def __init__(self, network: nn.Module, mixed: Mixed = Mixed()) -> None:  # noqa: B008
        """Convert the network to half precision in place, but for what stays in float32."""
        super().__init__()
        named = (*network.named_parameters(), *network.named_buffers())
        kept = {name: tensor.detach().clone() for name, tensor in named if name in mixed.parameters}
        self.network, self.mixed = network.half(), mixed
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if name in kept:
                tensor.data = kept[name]

    def forward(self, first: Tensor, second: Tensor | None = None, third: Tensor | None = None) -> Any:
        """Run the network on its one to three inputs; floats are float32 on both sides."""
        inputs = [each for each in (first, second, third) if each is not None]
        stored = [input_name(number) in self.mixed.stored for number in range(len(inputs))]
        given = [
            each.half() if each.is_floating_point() and not keeps else each
            for each, keeps in zip(inputs, stored, strict=True)
        ]
        if self.mixed.computed:
            with _Casts(self.network, self.mixed).watching():
                result = self.network(*given)
        else:
            result = self.network(*given)
        return map_floats(Tensor.float, result)


class _Casts(Operators):
    """Mode of a half-precision network that casts what the operators in float32 take and return."""

    def __init__(self, network: nn.Module, mixed: Mixed) -> None:
        super().__init__(network)
        self.mixed = mixed

    def run_operator(self, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        kept = name in self.mixed.computed
        types = {each.dtype for each in floats((args, kwargs))}
        if not in_place(name, kwargs) and (kept or len(types) > 1):
            args, kwargs = map_floats(Tensor.float if kept else Tensor.half, (args, kwargs))
        result = call(*args, **kwargs)
        if not kept or name in self.mixed.stored or in_place(name, kwargs):
            return result
        return map_floats(Tensor.half, result)


def rounded(values: Tensor) -> Tensor:
    """Return values as float16 stores them, in their own type."""
    return values.to(torch.float16).to(values.dtype)
