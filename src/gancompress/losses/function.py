"""A loss term from a plain function."""

from __future__ import annotations

from torch import Tensor

from gancompress.errors import ConfigError
from gancompress.losses.term import TERMS, Comparison, Networks, Term, TermOptions
from gancompress.registry import AnyFunction, function_of, path_of


@TERMS.accept_functions
class Function(TermOptions):
    """Loss computed by a user's function.

    Attributes:
        function: Function of the student's image and the target, both [b, c, h, w] in [-1, 1], that returns a scalar
            tensor, a mean over the batch. In a recipe its import path, ``package.module:name``.
    """

    kind = "function"

    function: AnyFunction

    @property
    def name(self) -> str:
        """Name of the function."""
        name = path_of(self.function).rpartition(":")[2].rpartition(".")[2]
        return name if name.isidentifier() else self.kind

    def build(self, networks: Networks) -> Term:
        """Return the term, which checks each value of the function."""
        function = function_of(self.function)

        def loss(c: Comparison) -> Tensor:
            value = function(c.image, c.target)
            if not isinstance(value, Tensor) or value.ndim:
                got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise ConfigError(
                    f"terms: {path_of(self.function)} returned {got}, expected a scalar tensor; "
                    "take the mean over the batch"
                )
            return value

        return Term(loss)
