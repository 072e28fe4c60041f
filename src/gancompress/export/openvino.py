"""A network as OpenVINO IR, a description (``.xml``) and its weights (``.bin``), compared with eager."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ExportError
from gancompress.export.axes import Axes, Inputs, names_and_axes, one_larger_axis_each
from gancompress.export.files import draft_of
from gancompress.export.onnx import export_onnx
from gancompress.export.parity import DEFAULT_TOLERANCE, ExportReport, PrecisionName, compare
from gancompress.export.runtimes import openvino_runtime
from gancompress.export.runtimes.packages import in_a_line, optional


def export_openvino(
    module: nn.Module,
    example_inputs: Inputs,
    path: Path,
    *,
    dynamic: Sequence[Axes] | None = None,
    input_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    reference: nn.Module | None = None,
    integers: bool = False,
    mean_tolerance: float = math.inf,
    precision: PrecisionName = "fp32",
) -> ExportReport:
    """Write the module as OpenVINO IR by way of ONNX, once OpenVINO on the CPU agrees with eager.

    Args:
        module: Exported in evaluation mode; left as it was found.
        example_inputs: As for `export_onnx`.
        path: The description to write; its weights lie beside it, with the ending ``.bin``.
        dynamic: As for `export_onnx`.
        input_names: As for `export_onnx`.
        metadata: Stored in the file, as one JSON object (``rt_info``, gancompress, metadata).
        tolerance: As for `export_onnx`.
        reference: As for `export_onnx`.
        integers: As for `export_onnx`.
        mean_tolerance: As for `export_onnx`.
        precision: What OpenVINO computes in where it compares.

    Raises:
        ExportError: A package is missing, or as `export_onnx`.
    """
    openvino = optional("openvino", "openvino", "OpenVINO export")
    reference = reference or module
    what = f"OpenVINO export of {type(reference).__name__}"
    names, axes = names_and_axes(example_inputs, input_names, dynamic)
    others = one_larger_axis_each(example_inputs, axes)
    how: Any = {"dynamic": axes, "input_names": names, "reference": reference, "tolerance": tolerance}
    with evaluation_mode(reference), torch.no_grad(), draft_of(path, "OpenVINO export", ".bin") as draft:
        with TemporaryDirectory() as folder:
            onnx = Path(folder, "model.onnx")
            export_onnx(module, example_inputs, onnx, other_inputs=[], integers=integers, **how)
            _convert(openvino, onnx, draft, metadata or {}, what)
        run = openvino_runtime.open_file(draft, precision=precision).run
        first = compare(reference, run, example_inputs, tolerance, what, mean_tolerance)
        cases = (first, *(compare(reference, run, case, tolerance, what) for case in others))
    file_bytes = path.stat().st_size + path.with_suffix(".bin").stat().st_size
    return ExportReport(path=path, file_bytes=file_bytes, cases=cases)


def _convert(openvino: Any, onnx: Path, path: Path, metadata: Mapping[str, str], what: str) -> None:
    try:
        model = openvino.convert_model(onnx)
        model.set_rt_info(json.dumps(dict(metadata)), openvino_runtime.METADATA)
        openvino.save_model(model, path, compress_to_fp16=False)
    except Exception as error:
        raise ExportError(f"{what} failed: {in_a_line(error)}") from error
