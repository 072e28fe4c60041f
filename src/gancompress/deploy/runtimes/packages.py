"""Optional packages: imports with clear errors, and suppression of their output."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from textwrap import shorten
from typing import Any

from gancompress.errors import ExportError


def optional(package: str, extra: str, what: str) -> Any:
    """Import a package of an extra.

    Args:
        package: Its name.
        extra: The extra of this package that installs it.
        what: Feature that needs it, for the message.

    Raises:
        ExportError: It cannot be imported.
    """
    try:
        with quiet():
            return importlib.import_module(package)
    except ImportError as error:
        raise ExportError(
            f"{what} needs the package {package}, which cannot be imported ({in_a_line(error)}): "
            f"pip install 'gancompress[{extra}]'"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the output, warnings and logs of exporters and the packages below them; what fails is raised."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def in_a_line(error: BaseException) -> str:
    """Format an error as one line: its original cause, without the advice around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return shorten(str(error) or type(error).__name__, 300, placeholder=" ...")
