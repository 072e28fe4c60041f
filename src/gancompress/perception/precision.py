"""Full precision for formulas that are not accurate in half precision."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, cast

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)

P = ParamSpec("P")


def full_precision(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Make a function of tensors compute in float32 or higher; its first argument must be a tensor.

    Mixed-precision training would run its convolutions and matrix products in bfloat16, in which differences of squares
    lose their digits.
    """

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Tensor:
        raised = [x.float() if isinstance(x, Tensor) and x.dtype in HALF else x for x in arguments]
        with torch.autocast(raised[0].device.type, enabled=False):
            return cast(Any, function)(*raised, **options)

    return cast(Callable[P, Tensor], wrapped)
