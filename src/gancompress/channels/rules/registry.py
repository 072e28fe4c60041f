"""Registry of rules, by the name of the operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gancompress.channels.labels import Labelling, Labels
from gancompress.channels.recording import RecordedOp
from gancompress.registry import Registry

Rule = Callable[[Labelling, RecordedOp], Sequence[Labels]]
"""Function that returns the labels of an operation's outputs, and records ties and fixes in the labelling."""

RULES: Registry[Rule] = Registry("rules", "an operation with a rule")
"""Every rule by its operation, such as ``aten.cat`` or ``my_library.my_operation``."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of these operations; names without a namespace are ATen's.

    Raises:
        ConfigError: Another function is the rule of one of them.
    """

    def register(function: Rule) -> Rule:
        for name in names:
            RULES.register(name if "." in name else f"aten.{name}")(function)
        return function

    return register
