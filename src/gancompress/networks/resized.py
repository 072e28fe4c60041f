"""Sizes of layers that narrowing changed, set in a network of full width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gancompress.channels.skeleton import set_attributes, set_tensor
from gancompress.errors import CheckpointError

Resized = Mapping[str, Mapping[str, Any]]
"""Attributes of modules that differ from those set by the constructor: ``{"body.conv": {"out_channels": 24}}``."""


def resize(network: nn.Module, resized: Resized, state: Mapping[str, Tensor]) -> None:
    """Set the narrow sizes as attributes, and replace resized tensors by empty ones; tied tensors stay tied.

    Args:
        network: The network, changed in place.
        resized: The sizes.
        state: Tensors of the narrow shapes.

    Raises:
        CheckpointError: The network has no such module or attribute.
    """
    try:
        set_attributes(network, resized)
    except AttributeError as error:
        raise CheckpointError(f"resized: {error}; expected modules and attributes of the network") from None
    replacements: dict[int, Tensor] = {}
    for name, old in (
        *network.named_parameters(remove_duplicate=False),
        *network.named_buffers(remove_duplicate=False),
    ):
        if name in state and state[name].shape != old.shape:
            new = replacements.get(id(old), old.detach().new_empty(state[name].shape))
            replacements[id(old)] = set_tensor(network, name, new)
