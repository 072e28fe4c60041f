"""The table of rules, by the name of the operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gancompress.channels.labels import Labelling, Labels
from gancompress.channels.tape import TapeOp

Rule = Callable[[Labelling, TapeOp], Sequence[Labels]]
"""Returns the labels of the operation's outputs; ties and fixes are noted in the labelling on the way."""

RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of these operations; names without a namespace are ATen's."""

    def register(function: Rule) -> Rule:
        RULES.update({name if "." in name else f"aten.{name}": function for name in names})
        return function

    return register
