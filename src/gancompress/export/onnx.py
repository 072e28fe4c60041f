"""A network as one ONNX file, compared with the network itself before the file gets its name."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ExportError
from gancompress.export.axes import Axes, Inputs, names_and_axes, one_larger_axis_each, to_trace
from gancompress.export.files import draft_of
from gancompress.export.integers import move_integers
from gancompress.export.parity import DEFAULT_TOLERANCE, ExportReport, compare
from gancompress.export.runtimes import onnx_runtime
from gancompress.export.runtimes.packages import in_a_line, optional, quiet


@dataclass(frozen=True, kw_only=True)
class OnnxReport(ExportReport):
    """An ONNX file, its weights inside, and how far onnxruntime is from eager.

    Attributes:
        opset: The version of the ONNX operators that it uses.
    """

    opset: int


def export_onnx(
    module: nn.Module,
    example_inputs: Inputs,
    path: str | os.PathLike[str],
    *,
    dynamic: Sequence[Axes] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    other_inputs: Sequence[Inputs] | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    reference: nn.Module | None = None,
    integers: bool = False,
    mean_tolerance: float = math.inf,
) -> OnnxReport:
    """Write the module as one ONNX file with its weights inside, once onnxruntime on the CPU agrees with eager.

    Args:
        module: Exported in evaluation mode; left as it was found.
        example_inputs: Its positional arguments, of any batch and a size that it accepts; the first case compared.
        path: The file to write. It is replaced at once, when every comparison has passed; folders are made.
        dynamic: For each input, the axes that stay free and their names; equal names mean equal sizes. By default
            ``batch, height, width`` of [N, C, H, W], ``batch, length`` of [N, C, L] and ``batch`` of all others; an
            input whose size differs in the example has names of its own (``style_height``).
        input_names: "input" by default, or "input_0", "input_1", ...
        output_names: In the order of the outputs; the exporter's own names by default.
        metadata: Stored in the file (``metadata_props``): what its user must know, such as layout, range, colours.
        other_inputs: Further cases to compare. By default one for each free axis, in which that axis alone is
            larger: a batch by one, any other size twice, filled with values of the example.
        tolerance: The largest absolute difference allowed for any element of any output in any case.
        reference: What the file is compared with; the module itself by default.
        integers: Let what only moves values move integers, where the module rounds them.
        mean_tolerance: The largest mean absolute difference allowed on the example.

    Returns:
        The file and the difference in each case.

    Raises:
        ExportError: A package is missing, ``dynamic`` or ``input_names`` do not fit the inputs, the exporter or the
            checker refuses the module, a case does not run, a difference is larger than the tolerance or not a
            number, or the file cannot be written. No new file is left then; one that was there before stays.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        optional(package, "onnx", "ONNX export")
    input_names, dynamic = names_and_axes(example_inputs, input_names, dynamic)
    if not len(dynamic) == len(input_names) == len(example_inputs):
        raise ExportError(
            f"ONNX export: got {len(example_inputs)} inputs, {len(input_names)} input_names and {len(dynamic)} entries "
            "of dynamic; expected one name and one mapping of axes for each input"
        )
    if other_inputs is None:
        other_inputs = one_larger_axis_each(example_inputs, dynamic)

    path, reference = Path(path), reference or module
    what = f"ONNX export of {type(reference).__name__}"
    with evaluation_mode(module), evaluation_mode(reference), torch.no_grad(), draft_of(path, "ONNX export") as draft:
        opset = _write(module, example_inputs, draft, dynamic, input_names, output_names, metadata or {}, integers)
        run = onnx_runtime.open_file(draft).run
        first = compare(reference, run, example_inputs, tolerance, what, mean_tolerance)
        cases = (first, *(compare(reference, run, case, tolerance, what) for case in other_inputs))
    return OnnxReport(path=path, file_bytes=path.stat().st_size, cases=cases, opset=opset)


def _write(
    module: nn.Module,
    inputs: Inputs,
    path: Path,
    dynamic: Sequence[Axes],
    input_names: Sequence[str],
    output_names: Sequence[str] | None,
    metadata: Mapping[str, str],
    integers: bool,
) -> int:
    """Write and check the file; returns its opset."""
    try:
        with quiet():
            program = torch.onnx.export(
                module,
                to_trace(inputs, dynamic),
                dynamo=True,
                verbose=False,
                dynamic_shapes=tuple(dict(axes) for axes in dynamic),
                input_names=list(input_names),
                output_names=list(output_names) if output_names else None,
            )
            assert program is not None  # it is None only where the exporter itself writes the file
            program.model.metadata_props.update(metadata)
            if integers:
                move_integers(program.model)
            for node in program.model.graph.all_nodes():
                node.metadata_props.clear()  # names files of this machine, and may outweigh a small network
            program.save(path, external_data=False)
            optional("onnx", "onnx", "ONNX export").checker.check_model(path, full_check=True)
    except OSError:
        raise  # the disk's fault, which `draft_of` tells
    except Exception as error:
        raise ExportError(f"ONNX export of {type(module).__name__} failed: {in_a_line(error)}") from error
    return program.model.opset_imports[""]
