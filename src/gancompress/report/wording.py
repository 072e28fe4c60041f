"""Figures in words. Missing values have words too: nothing is left blank or guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

MISSING = "not measured"
"""Text for a missing value."""


class Change(NamedTuple):
    """Words for a cost that went down, and for one that went up."""

    down: str
    up: str


def compact(value: float, unit: str = "") -> str:
    """Format a value with three significant digits and a decimal prefix: "11.4 M", "45.5 MB", "640", "4.41 s"."""
    if unit == "ms" and abs(value) >= 999.5:
        return compact(value / 1000, "s")
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:
            return f"{significant(value / size)} {prefix}{unit}"
    return f"{value:g} {unit}".strip() if float(value).is_integer() else f"{significant(value)} {unit}".strip()


def significant(value: float, digits: int = 3) -> str:
    """Format a value with this many significant digits, trailing zeros kept: "24.2", "0.0510"."""
    return f"{value:#.{digits}g}".rstrip(".")


def ratio(before: float | None, after: float | None) -> float | None:
    """Return the factor by which ``after`` is less than ``before``; None if either is missing or zero."""
    return before / after if before and after else None


def times(factor: float) -> str:
    """Format a factor of at least one: "9.4×", "120×"."""
    return f"{factor:.1f}×" if factor < 99.95 else f"{factor:.0f}×"


def changed(before: float | None, after: float | None, change: Change) -> str:
    """Return the change of a cost: "9.4× smaller", "1.2× larger", "the same"; empty if it is unknown."""
    factor = ratio(before, after)
    if factor is None:
        return ""
    if before == after:
        return "the same"
    shown = times(max(factor, 1 / factor))
    return "about the same" if shown == "1.0×" else f"{shown} {change.down if factor > 1 else change.up}"


def duration(seconds: float) -> str:
    """Format a wall-clock time: "4.2 s", "3 min 20 s", "1 h 12 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def environment_rows(environment: Mapping[str, str | int | float | None]) -> dict[str, str]:
    """Return the environment of the job: the facts that every report names, recorded or not, then all others."""
    known: dict[str, str | int | float | None] = dict.fromkeys(("date", "device", "cpu", "threads", "python", "torch"))
    return {
        name: "not recorded" if value is None else str(value) for name, value in (known | dict(environment)).items()
    }
