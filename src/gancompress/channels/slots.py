"""Slots: the few numbers that describe a network in a paper, each the width of several channel groups.

``16_16_32_16_32_32_16_16`` names eight slots of a nine-block network; slot ``c3`` sets the middle widths of three
blocks to ``4 * c3``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from gancompress.errors import PlanError


@dataclass(frozen=True)
class Slot:
    """Channel groups that share one number.

    Attributes:
        name: Name in the literature (``c0``).
        groups: Names of the channel groups that it sets.
        multiplier: Ratio of a group's width to the value of the slot; one number, or one for each group.
    """

    name: str
    groups: tuple[str, ...]
    multiplier: int | tuple[int, ...] = 1

    @property
    def multipliers(self) -> dict[str, int]:
        """Multiplier of every group."""
        each = self.multiplier if isinstance(self.multiplier, tuple) else (self.multiplier,) * len(self.groups)
        return dict(zip(self.groups, each, strict=True))


def widths_from_slots(slots: Sequence[Slot], values: Sequence[int]) -> dict[str, int]:
    """Return the width of every group that the slots name.

    Raises:
        PlanError: The number of values is not the number of slots, or a value is below 1.
    """
    if len(values) != len(slots):
        names = ", ".join(slot.name for slot in slots)
        raise PlanError(f"plan: got {len(values)} numbers, expected {len(slots)}, one each for {names}")
    if min(values, default=1) < 1:
        raise PlanError(f"plan: got {'_'.join(map(str, values))}, expected numbers of at least 1")
    return {
        group: multiplier * value
        for slot, value in zip(slots, values, strict=True)
        for group, multiplier in slot.multipliers.items()
    }


def slots_from_widths(slots: Sequence[Slot], widths: Mapping[str, int]) -> tuple[int, ...]:
    """Return the value of every slot, the inverse of `widths_from_slots`.

    Raises:
        PlanError: The groups of a slot disagree about its value, or a width is no multiple of its group's multiplier.
    """
    values = []
    for slot in slots:
        found = {Fraction(widths[group], multiplier) for group, multiplier in slot.multipliers.items()}
        if len(found) > 1:
            got = sorted({widths[group] for group in slot.groups})
            raise PlanError(
                f"slot {slot.name}: its groups have widths {got}, expected one value for all; "
                "save this plan by group names instead"
            )
        value = found.pop()
        if value.denominator > 1:
            group, multiplier = next(iter(slot.multipliers.items()))
            raise PlanError(f"slot {slot.name}: width {widths[group]} is no multiple of {multiplier}")
        values.append(value.numerator)
    return tuple(values)
