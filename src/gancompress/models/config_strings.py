"""The strings in which the papers write a network's widths down, such as ``16_16_32_16_32_32_16_16``.

| form | numbers | meaning |
|---|---|---|
| ``slots8`` | 8 | stem, down 1, residual stream, the middles of three thirds of the blocks, up 1, up 2 |
| ``slots6`` | 6 | the same with one number for the middles of all blocks |
| ``legacy8``, ``legacy6`` | 8, 6 | the same, but only the first block of a third has a middle of its own |
| ``slimming`` | 4 + blocks | plain widths of stem, down 1, every block's middle, up 1, up 2 |
| ``net_shape`` | 2 log2(pixels) - 2 | plain widths of a StyleGAN2: the constant, then every layer |

All but ``slimming`` and ``net_shape`` count in multiples of the widths that ngf = 1 gives. A ``legacy`` string starts
with ``legacy:``. A SPADE generator has ``slots8`` only: fc (the residual stream), then its seven blocks.

Source: Li et al., GAN Compression, CVPR 2020 (released networks; ``legacy`` are those of the paper); Wang et
al., GAN Slimming, ECCV 2020 (list of channel numbers); Liu et al., Content-Aware GAN Compression, CVPR 2021
(``net_shape``).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any, Literal

from gancompress.channels.slots import Slot, slots_from_widths, widths_from_slots
from gancompress.errors import PlanError
from gancompress.models.config import FamilyConfig
from gancompress.models.families import find_family
from gancompress.models.import_path import is_import_path
from gancompress.models.resnet import ResnetConfig
from gancompress.models.spade import SpadeConfig
from gancompress.models.stylegan2 import StyleGan2Config

Form = Literal["slots8", "slots6", "legacy8", "legacy6", "slimming", "net_shape"]

_LEGACY = "legacy:"
_STREAM = "down.1.conv"


def slots(config: FamilyConfig, form: Form) -> tuple[Slot, ...]:
    """What each number of a form stands for.

    Raises:
        PlanError: The family has no such strings, or the form needs three blocks and the network has fewer.
    """
    if isinstance(config, SpadeConfig) and form == "slots8":
        return _spade_slots(config)
    if isinstance(config, StyleGan2Config) and form == "net_shape":
        return tuple(Slot(group, (group,)) for group in config.default_widths())
    if not isinstance(config, ResnetConfig) or form == "net_shape":
        raise PlanError(
            f"plan: got {type(config).__name__} and {form}, expected a ResNet family, a SPADE family and slots8, or "
            "StyleGAN2 and net_shape; give widths by group name"
        )
    blocks = config.block_groups
    if form == "slimming":
        return tuple(Slot(group, (group,)) for group in config.default_widths() if group != _STREAM)
    thirds = _thirds(blocks)
    if form in ("legacy8", "legacy6"):
        thirds = [third[:1] for third in thirds]
    own = [block for third in thirds for block in third]
    middles = thirds if form in ("slots8", "legacy8") else [own]
    as_wide_as_stream = [block for block in blocks if block not in own]
    numbers = [
        (("stem.conv",), 1),
        (("down.0.conv",), 2),
        ((_STREAM, *as_wide_as_stream), 4),
        *((tuple(middle), 4) for middle in middles),
        (("up.0.conv",), 2),
        (("up.1.conv",), 1),
    ]
    return tuple(Slot(f"c{i}", groups, multiplier) for i, (groups, multiplier) in enumerate(numbers))


def widths_from_string(config: FamilyConfig, text: str) -> dict[str, int]:
    """The width of every channel group; in the ``slimming`` form the residual stream keeps 4 ngf.

    Args:
        config: The network that the string is for; where 8 or 6 numbers could also be a ``slimming`` list,
            they are not taken for one.
        text: Numbers joined by ``_``, ``legacy:`` before them where it applies.

    Raises:
        PlanError: The family has no such strings, or the text is none.
    """
    form, values = _parse(config, text)
    widths = widths_from_slots(slots(config, form), values)
    return {group: widths.get(group, default) for group, default in config.default_widths().items()}


def string_from_widths(config: FamilyConfig, widths: Mapping[str, int], form: Form) -> str:
    """The inverse of `widths_from_string`.

    Raises:
        PlanError: The family has no such strings, or this form cannot write these widths.
    """
    complete = {**config.group_widths(), **widths}
    numbers = "_".join(map(str, slots_from_widths(slots(config, form), complete)))
    if form == "slimming" and complete[_STREAM] != (full := config.default_widths()[_STREAM]):
        raise PlanError(f"plan: got {_STREAM} of width {complete[_STREAM]}, expected {full}; use another form")
    return f"{_LEGACY}{numbers}" if form in ("legacy8", "legacy6") else numbers


def plan_string(family: str, config: Mapping[str, Any]) -> str | None:
    """How the literature writes a network's widths: eight slots where that can be, then a plain list, then legacy.

    None for a family without such strings, and for widths that none of them can write.
    """
    if is_import_path(family):
        return None
    parsed = find_family(family).parse(config)
    for form in ("slots8", "slimming", "legacy8", "net_shape"):
        with suppress(PlanError):
            return string_from_widths(parsed, {}, form)
    return None


def config_from_string(family: str, text: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The config of a network built directly at the widths of a string.

    Args:
        family: Name of a ResNet, SPADE or StyleGAN2 family.
        text: As in `widths_from_string`.
        options: Other options of the family; ngf among them sets the residual stream of a ``slimming``
            string.

    Raises:
        ConfigError: The family does not exist, or the options do not fit it.
        PlanError: The family has no such strings, or the text is none.
    """
    config = find_family(family).parse(options or {})
    return config.at_widths(widths_from_string(config, text)).model_dump()


def _parse(config: FamilyConfig, text: str) -> tuple[Form, list[int]]:
    numbers = text.removeprefix(_LEGACY).split("_")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise PlanError(f"plan: got '{text}', expected whole numbers joined by '_', such as 16_16_32_16_32_32_16_16")
    forms: dict[int, Form] = {8: "legacy8", 6: "legacy6"}
    if not text.startswith(_LEGACY):
        if isinstance(config, StyleGan2Config):
            forms = {len(config.default_widths()): "net_shape"}
        elif isinstance(config, SpadeConfig):
            forms = {8: "slots8"}
        else:
            forms = {len(slots(config, "slimming")): "slimming", 8: "slots8", 6: "slots6"}
    if len(numbers) not in forms:
        expected = ", ".join(f"{count} ({form})" for count, form in forms.items())
        raise PlanError(f"plan: got {len(numbers)} numbers in '{text}', expected one of {expected}")
    return forms[len(numbers)], [int(number) for number in numbers]


def _spade_slots(config: SpadeConfig) -> tuple[Slot, ...]:
    if config.upsampling == "most":
        raise PlanError("plan: got a SPADE generator with eight blocks, expected seven; give widths by group name")
    units = config.model_copy(update={"ngf": 1}).default_widths()
    groups = {name: [group for group in units if group.split(".")[0] == name] for name in ("fc", *config.blocks)}
    return tuple(Slot(name, tuple(own), tuple(units[group] for group in own)) for name, own in groups.items())


def _thirds(blocks: list[str]) -> list[list[str]]:
    """Three runs of blocks, as even as can be."""
    if len(blocks) < 3:
        raise PlanError(f"plan: got a network of {len(blocks)} blocks, expected at least 3; give widths by group name")
    ends = [len(blocks) * i // 3 for i in range(4)]
    return [blocks[start:end] for start, end in pairwise(ends)]
