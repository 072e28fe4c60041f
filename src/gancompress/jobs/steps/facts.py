"""Facts of a step's record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def joined(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of all parts; their notes become one."""
    facts = {name: value for part in parts for name, value in part.items()}
    notes = [part["note"] for part in parts if "note" in part]
    return {**facts, "note": "; ".join(notes)} if notes else facts
