"""Networks from outside this package, named by import path: ``my_package.nets:Generator``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from gancompress.errors import ConfigError
from gancompress.registry import import_object


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
    found = import_object(path)
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
