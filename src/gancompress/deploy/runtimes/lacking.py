"""Errors about operators that a runtime lacks, with the rewrite that avoids them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gancompress.deploy.runtimes.packages import in_a_line

_WITHOUT = {
    "InstanceNormalization": "decomposed_norms",
    "Pad": "sliced_reflection",
    "ConvTranspose": "even_transposed_convolutions and odd_transposed_convolutions",
    "BatchNormalization": "folded_batch_norms",
    "PRelu": "relu_prelus",
    "DepthToSpace": "rank4_shuffles",
}
"""Rewrites that remove an operator, by the ONNX name of the operator."""


def refusal(error: BaseException, patterns: Sequence[str], renamed: Mapping[str, str]) -> str:
    """Format an error as one line; for an operator that the runtime lacks, name it and the rewrite that helps.

    Args:
        error: The error.
        patterns: Regular expressions that find ``operator`` in errors about operators that the runtime lacks.
        renamed: ONNX names of operators with another name in the runtime.
    """
    line = in_a_line(error)
    found = next((match for pattern in patterns if (match := re.search(pattern, line))), None)
    if found is None:
        return line
    operator = renamed.get(found["operator"], found["operator"])
    if operator not in _WITHOUT:
        return f"it lacks the operator {operator}; take another format or runtime"
    return f"it lacks the operator {operator}; export with the rewrite {_WITHOUT[operator]}, which does without"
