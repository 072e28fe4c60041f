"""Outputs of a network that a student can be compared on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError, GanCompressError
from gancompress.networks.given import Given, call, sizes, tensors_in
from gancompress.networks.outputs import image_of, tensors_of


@torch.no_grad()
def comparable_output(network: nn.Module, given: Given, name: str) -> Tensor:
    """Run a network; return the output that a student is compared on, [b, ...], floats for each item.

    Args:
        network: The network.
        given: Inputs of more than one item, so that items that are joined are noticed.
        name: Name of the network, for messages.

    Raises:
        ConfigError: The network does not take the inputs, or returns nothing that can be compared.
    """
    try:
        result = call(network, given)
    except GanCompressError:
        raise
    except Exception as error:  # a forward pass may raise anything
        first = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"{name}: raised {type(error).__name__}: {first} for inputs {sizes(given)}, expected data that it "
            "takes; correct the data, or the class and its arguments"
        ) from None
    return _compared(result, given, name)


def _compared(result: Any, given: Given, name: str) -> Tensor:
    if not tensors_of(result):
        raise ConfigError(
            f"{name}: got {type(result).__name__} for inputs {sizes(given)}, expected a tensor, or tuples, lists or "
            "dictionaries of them; return what a student is to imitate"
        )
    made = image_of(result)
    if not made.is_floating_point():
        raise ConfigError(
            f"{name}: got {str(made.dtype).removeprefix('torch.')} for inputs {sizes(given)}, expected floats, which "
            "can be compared; return what it was made of, such as scores, or real and imaginary parts as channels"
        )
    num_items = len(tensors_in(given)[0])
    if not made.dim() or len(made) != num_items:
        raise ConfigError(
            f"{name}: got an output {list(made.shape)} for {num_items} items, expected one for each along its first "
            "axis; return it before the items are joined"
        )
    return made
