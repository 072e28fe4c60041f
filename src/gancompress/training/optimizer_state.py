"""State of optimizers by module and parameter name, which survives a change of the modules' shapes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gancompress.training.objective import Reshaped

Moments = dict[str, dict[str, dict[str, Tensor]]]
"""Tensors of one optimizer: for each moment and module, by parameter name."""


def moments_of(optimizer: torch.optim.Optimizer, modules: Mapping[str, nn.Module]) -> Moments:
    """Return the state of an optimizer.

    Args:
        optimizer: The optimizer.
        modules: The modules by name, whose parameters it updates.
    """
    moments: Moments = {}
    places = _places(modules)
    for parameter, state in optimizer.state.items():
        module, key = places[parameter]
        for moment, tensor in state.items():
            moments.setdefault(moment, {}).setdefault(module, {})[key] = tensor
    return moments


def restore_moments(
    optimizer: torch.optim.Optimizer,
    moments: Moments,
    modules: Mapping[str, nn.Module],
    changes: Mapping[str, Reshaped],
) -> None:
    """Give a new optimizer the state of an old one, of reshaped modules the part that they keep.

    Args:
        optimizer: The new optimizer, changed in place.
        moments: State of the old one.
        modules: The modules by name, after the change.
        changes: The reshaped modules by name.
    """
    places = _places(modules)
    for moment, by_module in moments.items():
        for module in changes.keys() & by_module.keys():
            counts = {key: tensor for key, tensor in by_module[module].items() if tensor.ndim == 0}
            rest = {key: tensor for key, tensor in by_module[module].items() if tensor.ndim > 0}
            by_module[module] = counts | changes[module].keep(rest)
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            module, key = places[parameter]
            if key in by_module.get(module, {}):
                optimizer.state[parameter][moment] = by_module[module][key]


def _places(modules: Mapping[str, nn.Module]) -> dict[Tensor, tuple[str, str]]:
    """Return the module and the name of every parameter."""
    return {p: (name, key) for name, module in modules.items() for key, p in module.named_parameters()}
