"""Consent to run code that files name: nothing that a file names is imported or built unless its user agreed.

A user agrees by naming the class, or with ``trust=True`` (``--trust-code`` on the command line). A directory that
gancompress wrote at the same place on this machine names a class that its user ran then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from gancompress.errors import TrustError
from gancompress.io.own_files import is_own

Trust = bool | Collection[str]
"""Consent to run code: True for all of it, or the import paths and files that the caller named."""

# Registries import names of any depth of a recipe, through constructors that cannot be given a consent.
_READING: ContextVar[tuple[Path, Trust] | None] = ContextVar("reading", default=None)


@contextmanager
def importing_for(source: Path, trust: Trust) -> Iterator[None]:
    """Let the import paths in a file be imported only with consent.

    Args:
        source: The file, for messages.
        trust: The consent.
    """
    token = _READING.set((source, trust))
    try:
        yield
    finally:
        _READING.reset(token)


def check_import(path: str) -> None:
    """Check the consent to import a path, if a file is being read. Raises TrustError if it is missing."""
    if (reading := _READING.get()) is not None:
        check_consent(reading[0], path, reading[1])


def check_consent(source: Path, program: str, trust: Trust) -> None:
    """Check the consent to run a program that a file names, or that the file is.

    Args:
        source: The file.
        program: Import path of a class or function, or a file with a program.
        trust: The consent.

    Raises:
        TrustError: It is missing.
    """
    if trust is True or (trust and program in trust) or is_own(source, program):
        return
    what = "is a program" if str(source) == program else f"names the program '{program}'"
    raise TrustError(
        f"{source}: {what}, expected your consent before it runs; if you trust where the file comes from, "
        "give --trust-code (in Python: trust=True)"
    )
