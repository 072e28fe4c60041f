"""Objects from outside this package, named by import path: ``my_package.nets:Generator``."""

from __future__ import annotations

import importlib
from typing import Any

from gancompress.errors import ConfigError, nearest


def import_object(path: str) -> Any:
    """Import the object at a path.

    The path may come from a downloaded ``config.json``: callers must check what they got before they call it.

    Args:
        path: ``module:name``; the name may be nested (``module:Outer.Inner``).

    Raises:
        ConfigError: There is no such module, importing it failed, or it has no such name.
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
    return found
