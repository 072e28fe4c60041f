"""A network as a Core ML package (``.mlpackage``), compared with eager where Core ML runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from traceback import clear_frames
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ExportError
from gancompress.export.axes import Inputs, names_and_axes, output_names
from gancompress.export.decomposed import SLICED_NEAREST
from gancompress.export.files import draft_folder_of
from gancompress.export.parity import DEFAULT_TOLERANCE, ExportReport, ParityCase, PrecisionName, compare
from gancompress.export.runtimes import coreml_runtime
from gancompress.export.runtimes.packages import in_a_line, optional, quiet

_IN_SIMPLER_OPERATORS: dict[Any, Callable[..., Tensor]] = {
    **SLICED_NEAREST,
    torch.ops.aten.alias.default: lambda values: values,
    torch.ops.aten.addcmul.default: lambda values, a, b, value=1: values + value * a * b,
}
"""What coremltools has no rule for, or whose rule cannot be compared with PyTorch everywhere."""

_IN_FLOAT32 = ("instance_norm",)
"""The variance of a map overflows half precision."""


def export_coreml(
    module: nn.Module,
    example_inputs: Inputs,
    path: Path,
    *,
    input_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    reference: nn.Module | None = None,
    precision: PrecisionName = "fp32",
) -> ExportReport:
    """Write the module as a Core ML package for iOS 16, macOS 13 and later, of the example's batch and size.

    On macOS it is compared with eager before it gets its name. Elsewhere there is no Core ML: the report says that it
    was not compared, and what is checked is that the package can be read back and that its inputs and outputs have the
    names, shapes and types that they should.

    Args:
        module: Exported in evaluation mode; left as it was found.
        example_inputs: As for `export_onnx`.
        path: The package to write, which is a folder; its name ends in ``.mlpackage``.
        input_names: As for `export_onnx`. The outputs are called "output", or "output_0", "output_1", ...
        metadata: Stored in the package, as one JSON object in the entry ``gancompress`` of its metadata.
        tolerance: As for `export_onnx`.
        reference: As for `export_onnx`.
        precision: ``fp16`` computes in half precision, instance norms in float32; inputs and outputs stay float32.

    Raises:
        ExportError: coremltools is missing or refuses the module, the name ends otherwise, the package is not as it
            should be or disagrees, or it cannot be written.
    """
    coremltools = optional("coremltools", "coreml", "Core ML export")
    reference = reference or module
    what = f"Core ML export of {type(reference).__name__}"
    if path.suffix != ".mlpackage":
        raise ExportError(
            f"{what}: got {path}, expected a name that ends in .mlpackage, without which Core ML opens none"
        )
    names, _ = names_and_axes(example_inputs, input_names, None)
    with evaluation_mode(module), evaluation_mode(reference), torch.no_grad(), draft_folder_of(path, what) as draft:
        expected = [each for each in tree_leaves(reference(*example_inputs)) if isinstance(each, Tensor)]
        try:
            with quiet():
                model = _convert(coremltools, module, example_inputs, names, len(expected), precision)
                model.user_defined_metadata[coreml_runtime.METADATA] = json.dumps(dict(metadata or {}))
                model.save(str(draft))
                (draft / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)  # no part of the package
        except OSError:
            raise  # the disk's fault, which `draft_folder_of` tells
        except Exception as error:
            with quiet():
                clear_frames(error.__traceback__)  # a temporary folder of coremltools lives in one of them
            raise ExportError(f"{what} failed: {in_a_line(error)}") from error
        _check_description(coremltools, draft, names, example_inputs, expected, what)
        cases: tuple[ParityCase, ...] = ()
        if coreml_runtime.runs_here():
            cases = (compare(reference, coreml_runtime.open_file(draft).run, example_inputs, tolerance, what),)
    file_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    not_compared = None if cases else coreml_runtime.MACOS_ONLY
    return ExportReport(path=path, file_bytes=file_bytes, cases=cases, not_compared=not_compared)


def _convert(
    coremltools: Any,
    module: nn.Module,
    inputs: Inputs,
    names: Sequence[str],
    num_outputs: int,
    precision: PrecisionName,
) -> Any:
    program = torch.export.export(module, inputs).run_decompositions(_IN_SIMPLER_OPERATORS)
    half = coremltools.transform.FP16ComputePrecision(op_selector=lambda operator: operator.op_type not in _IN_FLOAT32)
    return coremltools.convert(
        program,
        convert_to="mlprogram",
        inputs=[
            coremltools.TensorType(name=name, shape=tensor.shape, dtype=_dtype(tensor))
            for name, tensor in zip(names, inputs, strict=True)
        ],
        outputs=[coremltools.TensorType(name=name, dtype=np.float32) for name in output_names(num_outputs)],
        compute_precision=half if precision == "fp16" else coremltools.precision.FLOAT32,
        minimum_deployment_target=coremltools.target.iOS16,
        skip_model_load=True,
    )


def _dtype(tensor: Tensor) -> type:
    """Core ML knows no other types than these two, and float16, for inputs: truth values become 0 and 1."""
    return np.float32 if tensor.is_floating_point() else np.int32


def _check_description(
    coremltools: Any, path: Path, names: Sequence[str], inputs: Inputs, outputs: Sequence[Tensor], what: str
) -> None:
    """Read the package back, and see that it says of its inputs and outputs what it should."""
    kinds = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType
    wanted = [
        (name, tuple(tensor.shape), kinds.INT32 if _dtype(tensor) is np.int32 else kinds.FLOAT32)
        for name, tensor in zip((*names, *output_names(len(outputs))), (*inputs, *outputs), strict=True)
    ]
    description = coremltools.utils.load_spec(str(path)).description
    got = [
        (each.name, tuple(each.type.multiArrayType.shape), each.type.multiArrayType.dataType)
        for each in (*description.input, *description.output)
    ]
    if got != wanted:
        raise ExportError(f"{what}: the package has the inputs and outputs {got}, expected {wanted}")
