"""Taps of a step: the modules whose feature maps are compared."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gancompress.networks.architecture import Architecture
from gancompress.networks.given import Given, arguments
from gancompress.objectives.supervision import Supervision, common_taps


def taps_of(
    teacher: Architecture,
    student: Architecture,
    supervision: Supervision,
    network: nn.Module,
    example: Given,
    say: Callable[[str], None],
) -> tuple[str, ...]:
    """Return the default taps: those of the teacher's architecture, matched by size if the student's is another one.

    Args:
        teacher: Architecture of the teacher.
        student: Architecture of the student.
        supervision: The teacher and the loss terms.
        network: The student.
        example: An input of both.
        say: Receives a message if taps are chosen automatically, or if there are none.
    """
    options, declared = supervision.options, teacher.distillation_taps
    compares_maps = any(term.compares == "maps" for term in options.weighted.values())
    if options.taps or not compares_maps:
        return declared
    if declared and declared == student.distillation_taps:
        return declared
    of_teacher = teacher.taps(supervision.teacher, arguments(supervision.teacher, example))
    taps = common_taps(supervision.teacher, network, example, of_teacher, student.distillation_taps)
    if taps != declared or not taps:
        chosen = f"{', '.join(taps)}, chosen automatically" if taps else "none, as the networks share no stages"
        say(f"feature maps compared: {chosen}; name others in distillation.taps")
    return taps
