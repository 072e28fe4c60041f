"""Structure of a module without its weights, the basis of a narrower network."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def copy_module(module: nn.Module) -> nn.Module:
    """Copy a module with all its tensors.

    `copy.deepcopy` refuses tensors that a forward pass computed from others, such as the weight that
    ``torch.nn.utils.weight_norm`` leaves in a layer; their values are copied.
    """
    computed = {
        id(value): value.detach().clone()
        for submodule in module.modules()
        for value in vars(submodule).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    return copy.deepcopy(module, memo=computed)


def copy_structure(module: nn.Module, tensors: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Copy the module tree, so that attributes can be changed without touching the original.

    Args:
        module: The module.
        tensors: Replacements of its parameters and buffers, by name, wherever the module refers to them; the originals
            themselves by default.
    """
    own = named_tensors(module)
    instead: dict[int, Any] = {id(tensor): (tensors or own)[name] for name, tensor in own.items()}
    for submodule in module.modules():  # what a forward pass left behind, such as a normalised weight
        for value in vars(submodule).values():
            if isinstance(value, Tensor):
                instead.setdefault(id(value), value)
    plain = [submodule for submodule in module.modules() if _is_copied_plainly(type(submodule))]
    for submodule in plain:
        instead[id(submodule)] = type(submodule).__new__(type(submodule))
    for submodule in plain:
        vars(instead[id(submodule)]).update(
            {name: _copy_attribute(value, instead) for name, value in vars(submodule).items()}
        )
    return copy.deepcopy(module, memo=instead)


def view_module(module: nn.Module) -> nn.Module:
    """Copy a module with tensors of its own that share their memory with the module's."""
    parameters = {
        name: nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)
        for name, tensor in module.named_parameters()
    }
    return copy_structure(module, {**parameters, **{name: each.detach() for name, each in module.named_buffers()}})


def _is_copied_plainly(kind: type[nn.Module]) -> bool:
    """Return whether `copy.deepcopy` would only copy every attribute of this class."""
    special = ("__deepcopy__", "__reduce_ex__", "__reduce__", "__getstate__", "__setstate__")
    # Those of torch.nn.modules only add what files of older versions lack.
    own = (vars(base) for base in kind.__mro__[:-1] if not base.__module__.startswith("torch.nn.modules."))
    return not any(name in attributes for attributes in own for name in special)


_IMMUTABLE = (bool, int, float, str, type(None))


def _copy_attribute(value: Any, instead: dict[int, Any]) -> Any:
    """Copy an attribute as `copy.deepcopy` does, with a fast path for the many small attributes of a module."""
    if type(value) in _IMMUTABLE:
        return value
    if type(value) is dict:  # tensors, submodules, hooks
        return {name: copy.deepcopy(each, instead) for name, each in value.items()}
    if type(value) in (OrderedDict, set) and not value:
        return type(value)()
    return copy.deepcopy(value, instead)


def set_attributes(module: nn.Module, attributes: Mapping[str, Mapping[str, Any]]) -> None:
    """Set attributes of submodules in place: ``{module path: {attribute: value}}``.

    Raises:
        AttributeError: The module has no such submodule, or the submodule has no such attribute.
    """
    for path, values in attributes.items():
        submodule = module.get_submodule(path)
        for name, value in values.items():
            getattr(submodule, name)
            setattr(submodule, name, value)


def set_tensor(module: nn.Module, name: str, tensor: Tensor) -> Tensor:
    """Replace the parameter or buffer of this state-dict name, whatever its shape.

    Returns:
        The tensor now in place, wrapped as a parameter if it replaces one.
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
    """Return parameters and buffers by name; a shared one once, under its first name."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}
