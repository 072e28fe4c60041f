"""Full precision for formulas that lose their meaning in half of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, cast

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)

P = ParamSpec("P")


def full_precision(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Lets a function of tensors, the first of which is its first argument, compute in float32 or more.

    Mixed-precision training would run its convolutions and matrix products in bfloat16, where differences of squares
    lose their digits.
    """

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Tensor:
        raised = [x.float() if isinstance(x, Tensor) and x.dtype in HALF else x for x in arguments]
        with torch.autocast(raised[0].device.type, enabled=False):
            return cast(Any, function)(*raised, **options)

    return cast(Callable[P, Tensor], wrapped)
