"""Compute types of files: names of precisions, and how a network gets there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from torch import nn

from gancompress.deploy.half import HALF_TOLERANCE, Halved, Mixed
from gancompress.deploy.parity import DEFAULT_TOLERANCE


@dataclass(frozen=True)
class ComputeType:
    """Numbers in which a file computes. A format lists those that it has.

    Attributes:
        name: Name of the precision in recipes and on the command line.
        tolerance: The largest absolute difference from eager in float32 that an export allows.
        rewrites: Names of the rewrites that a network needs to stay exact enough.
        half: Whether values are stored in float16 between operators.
        convert: Function of a network and its operators in float32 that converts it before it is written; None if
            `Runtime.convert` does so itself.
        integers: Whether layers compute in 8-bit integers, whose ranges are calibrated on images.
    """

    name: str
    tolerance: float = DEFAULT_TOLERANCE
    rewrites: tuple[str, ...] = ()
    half: bool = False
    convert: Callable[[nn.Module, Mixed], nn.Module] | None = None
    integers: bool = False

    def native(self) -> Self:
        """Return the same for a runtime that converts float32 networks itself."""
        return replace(self, convert=None)


FP32 = ComputeType("fp32")
BF16 = ComputeType("bf16", math.inf)
FP16 = ComputeType("fp16", HALF_TOLERANCE, ("float32_norms",), True, Halved)
INT8 = ComputeType("int8", integers=True)
