"""Tracing of a module with example inputs to its channel graph.

The pass is recorded on fake tensors, labels are propagated through it, and the tied positions become groups. Then the
graph is verified: the module is narrowed, recorded again, and every channel must be paired with the same channels as
before. Widths that depend on one another through a size (heads that share the width of another layer) are tied, and
sizes that modules hold as attributes follow the plan. Groups that still fail (sizes written as constants, channels
picked by number) are fixed and reported.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from gancompress.channels.blocks import find_blocks
from gancompress.channels.follow import follow
from gancompress.channels.graph import ChannelGraph
from gancompress.channels.grouping import Grouping
from gancompress.channels.labels import FIXED
from gancompress.channels.recording import Recording, record
from gancompress.channels.sizes import Sizes
from gancompress.channels.slots import Slot
from gancompress.channels.verify import find_conflicts
from gancompress.errors import TraceError


def trace(
    module: nn.Module,
    inputs: Sequence[Any],
    *,
    multiple: int = 8,
    minimum: int = 8,
    fixed: Sequence[str] = (),
    slots: Sequence[Slot] = (),
) -> ChannelGraph:
    """Find the channels of a module that can only be kept or removed together.

    Args:
        module: Any module whose forward pass takes tensors and decides nothing by their values. It is not changed.
        inputs: Arguments of its forward pass; of tensors only the shapes matter (zeros do). The costs of the graph's
            plans hold for these shapes.
        multiple: Legal widths are multiples of this, or the full width.
        minimum: The narrowest legal width; narrower groups keep their width.
        fixed: Names of groups to keep at full width; ``*`` stands for any text.
        slots: Groups to tie to one another, as the papers' configurations do.

    Returns:
        The graph. Channels that reach the output or come from the input are fixed. ``graph.unfollowed`` lists those
        that are fixed because the module does something with them that could not be followed.

    Raises:
        TraceError: The forward pass fails on inputs of these shapes, or depends on values.
        PlanError: ``fixed`` or ``slots`` name a group that the module does not have.
    """
    if isinstance(inputs, Tensor):
        raise TraceError(
            "trace: got a tensor as inputs, expected a tuple of the forward pass's arguments; write (tensor,)"
        )
    recording = record(module, inputs)
    if recording.failure is not None:
        raise TraceError(_failure_message(recording))
    labelling = follow(recording)
    sizes = Sizes(module, inputs, labelling)
    grouping = None
    while True:
        grouping = Grouping(module, labelling, grouping)
        if grouping.splits:
            labelling.ties += [(a, b, len(recording.ops)) for a, b in grouping.splits]
            continue
        conflicts = grouping.irregular or find_conflicts(module, inputs, labelling, grouping)
        if not conflicts:
            graph = replace(grouping.graph, blocks=find_blocks(module, inputs, recording))
            return graph.constrain(multiple=multiple, minimum=minimum, fixed=fixed, slots=slots)
        if not grouping.irregular:
            unexplained = sizes.explain(grouping)
            if unexplained is None:
                continue
            conflicts = unexplained or conflicts
        for conflict in conflicts:
            labelling.fixes.append(conflict)
            labelling.ties.append((conflict.atoms, np.full_like(conflict.atoms, FIXED), len(recording.ops)))


_DECIDED_BY_VALUES = (DataDependentOutputException, DynamicOutputShapeException)


def _failure_message(recording: Recording) -> str:
    failure = recording.failure
    assert failure is not None
    where = f"'{failure.module}'" if failure.module else "the forward pass"
    if isinstance(failure.error, _DECIDED_BY_VALUES) and (place := _line_of(failure.error)) is not None:
        where += f" ({place})"
    cause = str(failure.error).strip().splitlines() or [""]
    return (
        f"trace: {where} failed with {type(failure.error).__name__}: {cause[0][:200]}; "
        "expected a forward pass that runs on these input shapes and whose steps do not depend on tensor values; "
        "check the shapes, or move the value-dependent part out of the module"
    )


def _line_of(error: Exception) -> str | None:
    """Return the line of the module's own code that raised; None if it is not known."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename.replace("\\", "/")]
    own = [f for f in frames if "/gancompress/channels/" not in f.filename.replace("\\", "/")]
    if not own or not own[-1].line:
        return None
    return f"line {own[-1].lineno} of {Path(own[-1].filename).name}: {own[-1].line}"
