"""Registry of rules, by the name of the operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gancompress.channels.labels import Labelling, Labels
from gancompress.channels.tape import TapeOp

Rule = Callable[[Labelling, TapeOp], Sequence[Labels]]
"""Function that returns the labels of an operation's outputs, and records ties and fixes in the labelling."""

RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of these operations; names without a namespace are ATen's."""

    def register(function: Rule) -> Rule:
        RULES.update({name if "." in name else f"aten.{name}": function for name in names})
        return function

    return register
