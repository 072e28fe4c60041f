"""Taps of a step: the modules whose feature maps are compared."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.networks.architecture import Architecture
from gancompress.networks.given import Given, arguments
from gancompress.objectives.students import Student
from gancompress.objectives.supervision import Supervision, common_taps
from gancompress.objectives.taps import outside_blocks


def taps_of(
    teacher: Architecture,
    student: Architecture,
    supervision: Supervision,
    learning: Student,
    example: Given,
    say: Callable[[str], None],
) -> tuple[str, ...]:
    """Return the default taps: those of the teacher's architecture, matched by size if the student's is another one.

    Args:
        teacher: Architecture of the teacher.
        student: Architecture of the student.
        supervision: The teacher and the loss terms.
        learning: The networks that learn.
        example: An input of both.
        say: Receives a message if taps are chosen automatically, or if there are none.
    """
    options, declared = supervision.options, outside_blocks(teacher.distillation_taps, learning.left_out)
    compares_maps = any(term.compares == "maps" for term in options.weighted.values())
    if options.taps or not compares_maps:
        return declared
    own = outside_blocks(student.distillation_taps, learning.left_out)
    if declared and declared == own:
        return declared
    of_teacher = teacher.taps(supervision.teacher, arguments(supervision.teacher, example))
    of_teacher = outside_blocks(of_teacher, learning.left_out)
    taps = common_taps(supervision.teacher, learning.module, example, of_teacher, own)
    if taps != declared or not taps:
        chosen = f"{', '.join(taps)}, chosen automatically" if taps else "none, as the networks share no stages"
        say(f"feature maps compared: {chosen}; name others in distillation.taps")
    return taps
