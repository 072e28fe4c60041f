"""Half precision of a network, for GPUs: float32 images in and out, everything between in float16."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gancompress.deploy.parity import DEFAULT_TOLERANCE

HALF_TOLERANCE = 64 * DEFAULT_TOLERANCE
"""Eight steps of an 8-bit image, at the worst pixel of an image."""


_FAR = 0.1
"""Error of a layer's output, relative to its root mean square, that rounding to half precision does not explain."""


class Halved(nn.Module):
    """Network whose weights and activations are float16; modules that ask for float32 compute in it."""

    def __init__(self, network: nn.Module) -> None:
        """Convert the network to half precision in place."""
        super().__init__()
        self.network = network.half()

    def forward(self, first: Tensor, second: Tensor | None = None, third: Tensor | None = None) -> Any:
        """Run the network on its one to three inputs; floats are float32 on both sides."""
        inputs = [each for each in (first, second, third) if each is not None]
        result = self.network(*(each.half() if each.is_floating_point() else each for each in inputs))
        return tree_map_only(Tensor, lambda each: each.float() if each.is_floating_point() else each, result)


@torch.no_grad()
def first_far_layer(network: nn.Module, halved: nn.Module, inputs: Sequence[Tensor]) -> str | None:
    """Return the path of the first layer whose output in half precision is far from that in float32; None if none is.

    Args:
        network: The network in float32.
        halved: The same as a `Halved` one; any other is not looked into.
        inputs: Inputs of both.
    """
    if not isinstance(halved, Halved):
        return None
    expected, got = _outputs_of_layers(network, network, inputs), _outputs_of_layers(halved.network, halved, inputs)
    for path, values in got.items():
        error = (values.float() - expected[path]).square().mean().sqrt()
        if not error <= _FAR * expected[path].square().mean().sqrt():  # NaN is far, too
            return path
    return None


def _outputs_of_layers(network: nn.Module, run: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the last output of each layer of a network, in the order of their first calls."""
    outputs: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for path, layer in network.named_modules():
            if path and not list(layer.children()):
                hook = layer.register_forward_hook(lambda _, __, result, path=path: outputs.__setitem__(path, result))
                hooks.callback(hook.remove)
        with suppress(RuntimeError):  # an operator has no half precision on the CPU: it ran so far
            run(*inputs)
    return {path: result for path, result in outputs.items() if isinstance(result, Tensor)}
