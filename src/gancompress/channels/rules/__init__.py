"""Rules for the effect of each ATen operation on labels.

An operation without a rule fixes the channels of all its inputs and is reported: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gancompress.channels.labels import Labelling, Labels
from gancompress.channels.recording import RecordedOp
from gancompress.channels.rules import (  # noqa: F401 (they register their rules)
    attention,
    image,
    indexing,
    layers,
    movement,
    spectrum,
    windows,
)
from gancompress.channels.rules.elementwise import elementwise, source
from gancompress.channels.rules.registry import RULES


def apply_rule(labelling: Labelling, op: RecordedOp) -> Sequence[Labels]:
    """Return the labels of an operation's outputs; ties and fixes are recorded in the labelling.

    An operation without a rule of its own is a source (it takes no tensor), elementwise (ATen tags those), or cannot
    be followed.
    """
    rule = RULES.get(op.name)
    if rule is None and not op.inputs:
        rule = source
    elif rule is None and torch.Tag.pointwise in op.target.tags:
        rule = elementwise
    return (rule or _unknown)(labelling, op)


def _unknown(g: Labelling, op: RecordedOp) -> list[Labels]:
    for ref in op.inputs:
        g.fix_tensor(ref, f"passes through {op.name}, whose effect on channels is not known", unfollowed=True)
    return [Labels() for _ in op.outputs]
