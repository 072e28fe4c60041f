"""A network as a torch.export program, compared with eager."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ExportError
from gancompress.export.axes import Axes, Inputs, names_and_axes, one_larger_axis_each, to_trace
from gancompress.export.files import draft_of
from gancompress.export.parity import DEFAULT_TOLERANCE, ExportReport, compare
from gancompress.export.runtimes import torch_runtime
from gancompress.export.runtimes.packages import in_a_line, quiet


def export_program(
    module: nn.Module,
    example_inputs: Inputs,
    path: Path,
    *,
    dynamic: Sequence[Axes] | None = None,
    input_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    reference: nn.Module | None = None,
) -> ExportReport:
    """Write the module as a program of PyTorch operators (``.pt2``), once it agrees with eager.

    Args:
        module: Exported in evaluation mode; left as it was found.
        example_inputs: As for `export_onnx`.
        path: The file to write.
        dynamic: As for `export_onnx`.
        input_names: Of sizes in ``dynamic`` alone: a program takes its inputs by position.
        metadata: Stored in the file, as ``gancompress.json``.
        tolerance: As for `export_onnx`.
        reference: As for `export_onnx`.

    Raises:
        ExportError: PyTorch cannot follow the module's code, a size is not free, the program disagrees, or the file
            cannot be written.
    """
    reference = reference or module
    what = f"torch.export of {type(reference).__name__}"
    _, axes = names_and_axes(example_inputs, input_names, dynamic)
    free = tuple(dict.fromkeys(each, torch.export.Dim.DYNAMIC) for each in axes)
    inputs = [example_inputs, *one_larger_axis_each(example_inputs, axes)]
    with evaluation_mode(module), evaluation_mode(reference), torch.no_grad(), draft_of(path, what) as draft:
        try:
            with quiet():
                program = torch.export.export(module, to_trace(example_inputs, axes), dynamic_shapes=free)
                extra = {torch_runtime.METADATA_FILE: json.dumps(dict(metadata or {}))}
                torch.export.save(program, draft, extra_files=extra)
        except OSError:
            raise  # the disk's fault, which `draft_of` tells
        except Exception as error:
            raise ExportError(f"{what} failed: {in_a_line(error)}") from error
        run = torch_runtime.open_program(draft).run
        cases = tuple(compare(reference, run, case, tolerance, what) for case in inputs)
    return ExportReport(path=path, file_bytes=path.stat().st_size, cases=cases)
