"""Errors that a user can cause. Each message says where, what was got, what was expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_MESSAGE = 600
"""Longest message, in characters."""


class GanCompressError(Exception):
    """Base of every error a user can cause; the command line prints its one line and exits with 2."""

    def __str__(self) -> str:
        """Return the message in one line, its middle cut out if it is too long."""
        return in_the_middle(printable(super().__str__()), MAX_MESSAGE)


class ConfigError(GanCompressError):
    """A family, option or value that does not exist or does not fit."""


class CheckpointError(GanCompressError):
    """A file that cannot be read, is unsafe to read, or fits no known layout."""


class TrustError(GanCompressError):
    """A file that names or holds a program, read without consent to run it."""


class TraceError(GanCompressError):
    """A module whose channels cannot be traced."""


class PlanError(GanCompressError):
    """A channel plan that does not fit its graph."""


class BudgetError(GanCompressError):
    """A budget that no plan of the graph can meet."""


class InputSizeError(GanCompressError):
    """An image size that a network does not support."""


class DataError(GanCompressError):
    """Data that cannot be read or does not fit."""


class TrainingError(GanCompressError):
    """A training run that cannot start or go on."""


class LostProcessError(TrainingError):
    """A process of a training run that cannot go on because another one has ended."""


STOPPED = "stopped; everything is saved: the same command goes on from here"
"""Message of a run that its user stopped."""


class Interrupted(GanCompressError):
    """A run that stopped on request; its state is saved."""


class RefitError(GanCompressError):
    """Inputs that do not determine the weights of a narrow network."""


class ExportError(GanCompressError):
    """An export that failed, disagrees with eager, or lacks an optional package."""


class MetricError(GanCompressError):
    """A metric that cannot be computed as asked."""


class NotFiniteError(MetricError):
    """Images with values that are NaN or infinite."""


def printable(text: str) -> str:
    """Return a text in one line without control characters, which a file's names could hold to mislead a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def in_the_middle(text: str, limit: int) -> str:
    """Return a text of at most so many characters; the middle is cut out, as beginning and end of a message matter."""
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end - 5]} ... {text[-end:]}"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the name of the file being written to an OSError, because a full disk does not report it."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


_LONGEST_NAME = 200
"""Characters of an unknown name that are compared with known ones."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the hint that ends a message about an unknown name: one that ends with it, the closest, or all."""
    known, name = sorted(known), name[:_LONGEST_NAME]
    parts = [each for each in known if each.endswith(f"_{name}")]
    close = parts[:1] or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
