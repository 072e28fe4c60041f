"""A trial, and what it found."""

from __future__ import annotations

from collections.abc import Callable

Trial = Callable[[], str | None]
"""Runs a trial; returns a word for a good ending that is counted apart."""


class FoundError(Exception):
    """A trial that ended as it should not.

    Attributes:
        kind: A word for its ending, in capitals.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
