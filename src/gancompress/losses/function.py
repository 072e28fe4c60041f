"""A loss term from a plain function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer
from torch import Tensor

from gancompress.errors import ConfigError
from gancompress.losses.term import TERMS, Comparison, Networks, Term, TermOptions
from gancompress.registry import import_object, import_path_of


def _checked(function: Any) -> Any:
    found = import_object(function) if isinstance(function, str) else function
    if not callable(found):
        raise ConfigError(f"got a {type(found).__name__}, expected a function of the student's image and the target")
    return function


def _path(function: Any) -> str:
    return function if isinstance(function, str) else import_path_of(function)


@TERMS.accept_functions
class Function(TermOptions):
    """The value of a function of the user's own.

    Attributes:
        function: Takes the student's image and the target, both [b, c, h, w] in [-1, 1], and returns a scalar tensor,
            a mean over the batch. In a recipe its import path, ``package.module:name``.
    """

    kind = "function"

    function: Annotated[
        str | Callable[[Tensor, Tensor], Tensor], BeforeValidator(_checked), PlainSerializer(_path, return_type=str)
    ]

    @property
    def name(self) -> str:
        """Name of the function."""
        name = _path(self.function).rpartition(":")[2].rpartition(".")[2]
        return name if name.isidentifier() else self.kind

    def build(self, networks: Networks) -> Term:
        """Check each value of the function and return it."""
        function = import_object(self.function) if isinstance(self.function, str) else self.function

        def loss(c: Comparison) -> Tensor:
            value = function(c.image, c.target)
            if not isinstance(value, Tensor) or value.ndim:
                got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise ConfigError(
                    f"terms: {_path(self.function)} returned {got}, expected a scalar tensor; "
                    "take the mean over the batch"
                )
            return value

        return Term(loss)
