"""Networks from outside this package, named by import path: ``my_package.nets:Generator``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from gancompress.errors import ConfigError, nearest


def is_import_path(family: str) -> bool:
    """Whether a family's name is an import path rather than one of this package's families."""
    return ":" in family


def import_network(path: str) -> type[nn.Module]:
    """The class at an import path.

    Only a subclass of `torch.nn.Module` is accepted, never any callable: the path may come from a downloaded
    ``config.json``.

    Args:
        path: ``module:Class``; the class may be nested (``module:Outer.Inner``).

    Raises:
        ConfigError: There is no such module, importing it failed, or it has no such module class.
    """
    module_name, _, class_name = path.partition(":")
    if not module_name or not class_name:
        raise ConfigError(f"{path}: got an incomplete import path, expected 'package.module:Class'")
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{path}: importing {module_name} failed: {error}") from error
        raise ConfigError(
            f"{path}: found no module '{error.name}', expected an importable one; "
            "install it or put its folder on PYTHONPATH"
        ) from None
    except Exception as error:
        raise ConfigError(f"{path}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    for name in class_name.split("."):
        if not hasattr(found, name):
            public = [known for known in vars(found) if not known.startswith("_")]
            raise ConfigError(f"{path}: {found.__name__} has no '{name}', {nearest(name, public)}")
        found = getattr(found, name)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"{path}: got a {type(found).__name__}, expected a subclass of torch.nn.Module")
    return found


def build_network(path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The network at an import path, built with keyword arguments.

    Raises:
        ConfigError: As `import_network`; or the arguments do not fit the constructor, or it raised.
    """
    network = import_network(path)
    signature = inspect.signature(network)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{path}: {error}; expected {', '.join(signature.parameters)}") from None
    try:
        return network(**arguments)
    except Exception as error:
        raise ConfigError(f"{path}: its constructor raised {type(error).__name__}: {error}") from error
