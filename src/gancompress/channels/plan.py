"""Channel plan: the width of every channel group, and the blocks that are left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from gancompress.channels.left_out import modules_of, outermost, with_parents
from gancompress.errors import PlanError

LEFT_OUT = "left_out"
"""Key of the blocks left out in the text of a plan, beside the channel groups."""


@dataclass(frozen=True)
class ChannelPlan:
    """Width of every channel group of a graph, and the blocks that are left out.

    Attributes:
        widths: Channels kept, by group name.
        left_out: Names of the residual blocks that are left out; empty for a network of full depth.
    """

    widths: Mapping[str, int]
    left_out: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", MappingProxyType(dict(self.widths)))
        object.__setattr__(self, "left_out", outermost(self.left_out))

    def __hash__(self) -> int:
        return hash((tuple(sorted(self.widths.items())), self.left_out))

    def holds(self, path: str) -> bool:
        """Return whether the network has this module or tensor: it lies in no block that is left out."""
        return not self._removed or self._removed.isdisjoint(with_parents(path))

    @cached_property
    def _removed(self) -> frozenset[str]:
        """Paths of the modules that are left out."""
        return frozenset(path for block in self.left_out for path in modules_of(block))

    def leaving_out(self, blocks: Iterable[str]) -> ChannelPlan:
        """Return the plan with these blocks left out too."""
        return replace(self, left_out=self.left_out.union(blocks))

    def to_json(self) -> str:
        """Return the plan as one JSON object, group names to widths, with a list of the blocks left out if any are."""
        left_out = {LEFT_OUT: sorted(self.left_out)} if self.left_out else {}
        return json.dumps({**self.widths, **left_out})

    @classmethod
    def from_json(cls, text: str) -> ChannelPlan:
        """Parse the output of `to_json`.

        Raises:
            PlanError: The text is no JSON object of whole numbers, and a list of names as ``left_out``.
        """
        try:
            widths = json.loads(text)
        except json.JSONDecodeError as error:
            raise PlanError(f"plan: not JSON ({error}); expected an object of group names and widths") from error
        left_out = widths.pop(LEFT_OUT) if isinstance(widths, dict) and type(widths.get(LEFT_OUT)) is list else []
        named = isinstance(widths, dict) and all(isinstance(block, str) for block in left_out)
        if not named or not all(type(w) is int for w in widths.values()):
            raise PlanError(
                f"plan: got {text[:60]!r}, expected a JSON object of group names and whole numbers, and under "
                f'"{LEFT_OUT}" a list of blocks if any are left out'
            )
        return cls(widths, frozenset(left_out))
