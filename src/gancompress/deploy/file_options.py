"""Options of a file that `export_module` and `Runtime.write` write."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from gancompress.deploy.axes import Axes, Inputs
from gancompress.deploy.parity import DEFAULT_TOLERANCE

Run = Callable[[Inputs], list[Tensor]]
"""Function from a file's inputs to its outputs."""


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Options of a file, and of its comparison with eager.

    Attributes:
        dynamic: For each input, the axes that stay free and their names; equal names mean equal sizes. By default
            ``batch, height, width`` of [N, C, H, W], ``batch, length`` of [N, C, L] and ``batch`` of all others; an
            input whose size differs in the example has names of its own (``style_height``). A format without free
            sizes ignores it.
        input_names: "input" by default, or "input_0", "input_1", ...
        output_names: In the order of the outputs; those of `gancompress.networks.outputs.named_outputs` by default.
        metadata: Text to store in the file for its user, such as layout, range, colours.
        other_inputs: Further cases to compare. By default one for each free axis, with that axis alone larger: a batch
            by one, any other size twice, filled with values of the example.
        tolerance: The largest absolute difference allowed for any element of any output in any case.
        mean_tolerance: The largest mean absolute difference allowed on the example.
        reference: The network that the file is compared with; the module itself by default.
        precision: Precision to compute in, of those that `Runtime.convert` applies itself.
        accept: Function of the opened file that raises to refuse it, after the comparison and before it is published.
        opset: Opset of ONNX, 11 or newer; the exporter's own by default.
        integers: Let operators that only move values move integers, where the module rounds them.
    """

    dynamic: Sequence[Axes] | None = None
    input_names: Sequence[str] | None = None
    output_names: Sequence[str] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    other_inputs: Sequence[Inputs] | None = None
    tolerance: float = DEFAULT_TOLERANCE
    mean_tolerance: float = math.inf
    reference: nn.Module | None = None
    precision: str = "fp32"
    accept: Callable[[Run], None] | None = None
    opset: int | None = None
    integers: bool = False


DEFAULT_OPTIONS = FileOptions()
