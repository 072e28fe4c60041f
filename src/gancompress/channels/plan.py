"""Channel plan: the width of every channel group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gancompress.errors import PlanError


@dataclass(frozen=True)
class ChannelPlan:
    """Width of every channel group of a graph.

    Attributes:
        widths: Channels kept, by group name.
    """

    widths: Mapping[str, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", MappingProxyType(dict(self.widths)))

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.widths.items())))

    def to_json(self) -> str:
        """Return the plan as one JSON object, group names to widths."""
        return json.dumps(dict(self.widths))

    @classmethod
    def from_json(cls, text: str) -> ChannelPlan:
        """Parse the output of `to_json`.

        Raises:
            PlanError: The text is no JSON object of whole numbers.
        """
        try:
            widths = json.loads(text)
        except json.JSONDecodeError as error:
            raise PlanError(f"plan: not JSON ({error}); expected an object of group names and widths") from error
        if not isinstance(widths, dict) or not all(type(w) is int for w in widths.values()):
            raise PlanError(f"plan: got {text[:60]!r}, expected a JSON object of group names and whole numbers")
        return cls(widths)
