"""Taps of a step: the modules whose feature maps are compared."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gancompress.networks.architecture import Architecture
from gancompress.networks.given import Given, arguments
from gancompress.objectives.supervision import Supervision


def taps_of(
    architecture: Architecture,
    supervision: Supervision,
    student: nn.Module,
    example: Given,
    step: str,
    say: Callable[[str], None],
) -> tuple[str, ...]:
    """Return the default taps, those of the teacher's architecture.

    Args:
        architecture: Architecture of the teacher.
        supervision: The teacher and the loss terms.
        student: The student.
        example: An input of both.
        step: Name of the step, for messages.
        say: Receives a message if taps are chosen automatically, or if there are none.
    """
    options = supervision.options
    compares_maps = any(term.compares == "maps" for term in options.weighted.values())
    if options.taps or architecture.distillation_taps or not compares_maps:
        return architecture.distillation_taps
    known = dict(student.named_modules())
    shared = tuple(
        path
        for path in architecture.taps(supervision.teacher, arguments(supervision.teacher, example))
        if path in known
    )
    chosen = f"{', '.join(shared)}, chosen automatically" if shared else "none, as the networks share no stages"
    say(f"{step}: feature maps compared: {chosen}; name others in distillation.taps")
    return shared
