"""Plan strings, in which the papers write a network's widths, such as ``16_16_32_16_32_32_16_16``.

| form | numbers | meaning |
|---|---|---|
| ``slots8`` | 8 | stem, down 1, residual stream, the middles of three thirds of the blocks, up 1, up 2 |
| ``slots6`` | 6 | the same with one number for the middles of all blocks |
| ``legacy8``, ``legacy6`` | 8, 6 | the same, but only the first block of a third has a middle of its own |
| ``slimming`` | 4 + blocks | plain widths of stem, down 1, every block's middle, up 1, up 2 |
| ``net_shape`` | 2 log2(pixels) - 2 | plain widths of a StyleGAN2: the constant, then every layer |

All but ``slimming`` and ``net_shape`` count in multiples of the widths that ngf = 1 gives. A ``legacy`` string starts
with ``legacy:``. A family's configuration defines its forms and the groups of each number; a SPADE generator has
``slots8`` only: fc (the residual stream), then its seven blocks.

Source: Li et al., GAN Compression, CVPR 2020 (released networks; ``legacy`` are those of the paper); Wang et
al., GAN Slimming, ECCV 2020 (list of channel numbers); Liu et al., Content-Aware GAN Compression, CVPR 2021
(``net_shape``).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from gancompress.channels.slots import slots_from_widths, widths_from_slots
from gancompress.errors import PlanError
from gancompress.networks.config import FamilyConfig

LEGACY = "legacy:"
LEGACY_FORMS = ("legacy8", "legacy6")


def widths_from_string(config: FamilyConfig, text: str) -> dict[str, int]:
    """Read the width of every channel group; groups without a number keep their default.

    Args:
        config: The network of the string; if 8 or 6 numbers could also be a ``slimming`` list, they are not read as
            one.
        text: Numbers joined by ``_``, after ``legacy:`` for a legacy form.

    Raises:
        PlanError: The family has no plan strings, or the text is not one.
    """
    form, values = _parse(config, text)
    widths = widths_from_slots(config.slots(form), values)
    return {group: widths.get(group, default) for group, default in config.default_widths().items()}


def string_from_widths(config: FamilyConfig, widths: Mapping[str, int], form: str) -> str:
    """Write widths in a form; the inverse of `widths_from_string`.

    Raises:
        PlanError: The family has no plan strings, or this form cannot write these widths.
    """
    complete = {**config.group_widths(), **widths}
    slots = config.slots(form)
    numbers = "_".join(map(str, slots_from_widths(slots, complete)))
    written = {group for slot in slots for group in slot.groups}
    for group, full in config.default_widths().items():
        if group not in written and complete[group] != full:
            raise PlanError(f"plan: got {group} of width {complete[group]}, expected {full}; use another form")
    return f"{LEGACY}{numbers}" if form in LEGACY_FORMS else numbers


def plan_string(config: FamilyConfig) -> str | None:
    """Write a network's widths in the first form of its family that fits; None if none fits."""
    for form in config.written_forms:
        with suppress(PlanError):
            return string_from_widths(config, {}, form)
    return None


def _parse(config: FamilyConfig, text: str) -> tuple[str, list[int]]:
    numbers = text.removeprefix(LEGACY).split("_")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise PlanError(f"plan: got '{text}', expected whole numbers joined by '_', such as 16_16_32_16_32_32_16_16")
    forms = config.string_forms(legacy=text.startswith(LEGACY))
    if not forms:
        written = " or ".join(config.written_forms)
        reason = f", expected a string of {written}" if written else ", whose widths have no such strings"
        raise PlanError(f"plan: got '{text}' for {type(config).__name__}{reason}; give widths by group name")
    if len(numbers) not in forms:
        expected = ", ".join(f"{count} ({form})" for count, form in forms.items())
        raise PlanError(f"plan: got {len(numbers)} numbers in '{text}', expected one of {expected}")
    return forms[len(numbers)], [int(number) for number in numbers]
