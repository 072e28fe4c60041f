"""The structure of a module without its weights: what a narrower network is built on."""

from __future__ import annotations

import copy
from collections import OrderedDict
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
    plain = [submodule for submodule in module.modules() if _is_copied_plainly(type(submodule))]
    for submodule in plain:
        instead[id(submodule)] = type(submodule).__new__(type(submodule))
    for submodule in plain:
        vars(instead[id(submodule)]).update(
            {name: _copy_attribute(value, instead) for name, value in vars(submodule).items()}
        )
    return copy.deepcopy(module, memo=instead)


def _is_copied_plainly(kind: type[nn.Module]) -> bool:
    """Whether `copy.deepcopy` would do no more with it than copy every attribute."""
    special = ("__deepcopy__", "__reduce_ex__", "__reduce__", "__getstate__", "__setstate__")
    # Those of torch.nn.modules only add what files of older versions lack.
    own = (vars(base) for base in kind.__mro__[:-1] if not base.__module__.startswith("torch.nn.modules."))
    return not any(name in attributes for attributes in own for name in special)


_IMMUTABLE = (bool, int, float, str, type(None))


def _copy_attribute(value: Any, instead: dict[int, Any]) -> Any:
    """What `copy.deepcopy` gives, without its generality where a module's many small attributes need none."""
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
