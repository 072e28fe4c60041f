"""Time of a run by class of operator, from a profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CLASSES: Mapping[str, tuple[str, ...]] = {
    "convolution": ("Conv", "FusedConv", "ConvTranspose", "QLinearConv", "ConvInteger", "Gemm", "MatMul", "FusedGemm"),
    "norm": ("InstanceNormalization", "BatchNormalization", "GroupNormalization", "ReduceMean", "ReduceSumSquare"),
    "pad": ("Pad",),
    "layout": (
        "ReorderInput",
        "ReorderOutput",
        "Transpose",
        "Reshape",
        "DepthToSpace",
        "SpaceToDepth",
        "Slice",
        "Concat",
    ),
    "rounding": ("QuantizeLinear", "DequantizeLinear", "Cast"),
}
"""Operators of each class; all others are "other"."""

_CLASS_OF = {operator: name for name, operators in CLASSES.items() for operator in operators}


def by_class(events: Iterable[Mapping[str, Any]], num_runs: int) -> dict[str, float]:
    """Return the milliseconds of one run by class of operator, the largest first.

    Args:
        events: onnxruntime's profile, read from its JSON.
        num_runs: Number of runs in the profile.
    """
    spent: dict[str, float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = _CLASS_OF.get(event["args"]["op_name"], "other")
            spent[name] = spent.get(name, 0.0) + event["dur"] / 1e3 / num_runs
    return dict(sorted(spent.items(), key=lambda part: -part[1]))
