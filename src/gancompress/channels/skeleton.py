"""The structure of a module without its weights: what a narrower network is built on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def copy_structure(module: nn.Module, tensors: Mapping[str, Tensor] | None = None) -> nn.Module:
    """A copy of the module tree, whose attributes can be changed without touching the original.

    Args:
        module: The module.
        tensors: What takes the place of its parameters and buffers, by name, wherever the module refers to them; the
            originals themselves where left out.
    """
    own = named_tensors(module)
    instead: dict[int, Any] = {id(tensor): (tensors or own)[name] for name, tensor in own.items()}
    for submodule in module.modules():  # what a forward pass left behind, such as a normalised weight
        for value in vars(submodule).values():
            if isinstance(value, Tensor):
                instead.setdefault(id(value), value)
    return copy.deepcopy(module, memo=instead)


def set_attributes(module: nn.Module, attributes: Mapping[str, Mapping[str, Any]]) -> None:
    """Set attributes of submodules in place: ``{module path: {attribute: value}}``.

    Raises:
        AttributeError: The module has no such submodule, or that has no such attribute.
    """
    for path, values in attributes.items():
        submodule = module.get_submodule(path)
        for name, value in values.items():
            getattr(submodule, name)
            setattr(submodule, name, value)


def set_tensor(module: nn.Module, name: str, tensor: Tensor) -> Tensor:
    """Put a parameter or buffer in the place that its state-dict name says, whatever shape stood there.

    Returns:
        What now stands there: the tensor, wrapped as a parameter where one stood.
    """
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if leaf in owner._parameters:
        old = owner._parameters[leaf]
        if not isinstance(tensor, nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=old is None or old.requires_grad)
        owner._parameters[leaf] = tensor
    else:
        owner._buffers[leaf] = tensor
    return tensor


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; a shared one once, under its first name."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}
