"""What a runtime lacks, in words: the operator, and the rewrite that does without it."""

from __future__ import annotations

import re

from gancompress.export.runtimes.packages import in_a_line

_SAYS = (
    r"Could not find an implementation for (?:the node \S+:)?(?P<operator>\w+)\(",  # onnxruntime
    r"does not support the following ONNX operations: (?:[\w.]+\.)?(?P<operator>\w+)",  # OpenVINO
    r"No conversion rule found for operations: (?:[\w.]+\.)?(?P<operator>\w+)",
    r"failed to legalize operation '\w+\.(?P<operator>\w+)'",  # LiteRT
)

_OTHER_NAMES = {"convolution": "ConvTranspose"}  # it takes all convolutions but those

_WITHOUT = {
    "InstanceNormalization": "decomposed_norms",
    "Pad": "sliced_reflection",
    "ConvTranspose": "even_transposed_convolutions and odd_transposed_convolutions",
    "BatchNormalization": "folded_batch_norms",
}


def refusal(error: BaseException) -> str:
    """Why a runtime refuses a file, in a line; where it lacks an operator, which, and what would help."""
    said = in_a_line(error)
    found = next((match for says in _SAYS if (match := re.search(says, said))), None)
    if found is None:
        return said
    operator = _OTHER_NAMES.get(found["operator"], found["operator"])
    if operator not in _WITHOUT:
        return f"it lacks the operator {operator}; take another format or runtime"
    return f"it lacks the operator {operator}; export with the rewrite {_WITHOUT[operator]}, which does without"
