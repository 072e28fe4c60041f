"""Base class of options: strict fields, all validation errors in one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from gancompress.errors import MAX_MESSAGE, ConfigError, in_the_middle, nearest

_LONGEST_VALUE = 120
"""Characters of a wrong value in a message."""


class OptionsError(ConfigError, ValueError):
    """Options that do not fit. A `ValueError` too, so that the options around them report it with their own errors.

    Attributes:
        reasons: Path and error of each wrong option.
    """

    def __init__(self, reasons: Iterable[tuple[str, str]]) -> None:
        self.reasons = list(reasons)
        super().__init__(_joined([f"{where}: {reason}" if where else reason for where, reason in self.reasons]))


class Options(BaseModel):
    """Base of all options. Unknown options and wrong types are rejected, all of them in one message.

    Raises:
        ConfigError: An option is unknown or has a wrong type or value, here or in the options inside.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __init__(self, /, **options: Any) -> None:
        """Validate the options."""
        try:
            super().__init__(**options)
        except ValidationError as error:
            fields = type(self).model_fields
            raise OptionsError(reason for details in error.errors() for reason in _reasons(details, fields)) from None


def _joined(lines: Sequence[str]) -> str:
    """Join as many lines as fit into a message; say how many are left out."""
    fitting, room = 0, MAX_MESSAGE - 100
    while fitting < len(lines) and (fitting == 0 or room >= len(lines[fitting])):
        room -= len(lines[fitting]) + 2
        fitting += 1
    more = len(lines) - fitting
    return "; ".join([*lines[:fitting], *([f"and {more} more; correct these first"] if more else [])])


def _reasons(details: ErrorDetails, known: Mapping[str, object]) -> list[tuple[str, str]]:
    """Convert one validation error to (path, "got, expected") pairs; several for nested options."""
    where = ".".join(map(str, details["loc"]))
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, OptionsError):
        return [(f"{where}.{inner}" if inner else where, reason) for inner, reason in cause.reasons]
    if details["type"] == "extra_forbidden":
        return [(where, f"unknown option, {nearest(where, known)}")]
    if details["type"] == "value_error":
        return [(where, str(cause))]
    expected = details["msg"].removeprefix("Input should be ")
    got = "nothing" if details["type"] == "missing" else in_the_middle(repr(details["input"]), _LONGEST_VALUE)
    return [(where, f"got {got}, expected {'a value' if details['type'] == 'missing' else expected}")]


def as_tuple(value: Any) -> Any:
    """Convert a list to a tuple, for fields read from YAML or JSON, which have only lists."""
    return tuple(value) if isinstance(value, list) else value
