"""Runtime Core ML, which runs on macOS, and its packages (``.mlpackage``), which are written and read anywhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from traceback import clear_frames
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.deploy.axes import Inputs, output_names
from gancompress.deploy.compute_types import FP16, FP32
from gancompress.deploy.rewrites import FOLDED
from gancompress.deploy.runtimes.decomposed import SLICED_NEAREST
from gancompress.deploy.runtimes.formats import Conversion, Format, Mode, Usage
from gancompress.deploy.runtimes.packages import in_a_line, optional, quiet
from gancompress.deploy.runtimes.registry import register_runtime
from gancompress.deploy.runtimes.runner import Input, Runner
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.errors import ExportError

METADATA = "gancompress"
"""Key of our metadata in the package's own: one JSON object."""

MACOS_ONLY = "Core ML runs on macOS only"

_IN_SIMPLER_OPERATORS: dict[Any, Callable[..., Tensor]] = {
    **SLICED_NEAREST,
    torch.ops.aten.alias.default: lambda values: values,
    torch.ops.aten.addcmul.default: lambda values, a, b, value=1: values + value * a * b,
}
"""Decompositions of operators without a rule in coremltools, or without one that matches PyTorch everywhere."""

_IN_FLOAT32 = ("instance_norm",)
"""Operators in float32, because the variance of a map overflows half precision."""


def runs_here() -> bool:
    """Return whether this system has Core ML."""
    return sys.platform == "darwin"


@register_runtime
class CoreMl(Runtime):
    """Core ML for iOS 16, macOS 13 and later.

    On other systems than macOS a package is not compared with eager. It is read back, and its inputs and outputs must
    have the right names, shapes and types.
    """

    name = "coreml"
    title = "Core ML"
    runs_on = "Core ML, iOS 16, macOS 13 and later"
    package = "coremltools"
    extra = "coreml"
    formats = (
        Format(
            name="coreml",
            file_name="model.mlpackage",
            rewrites=FOLDED,
            compute_types=(FP32, FP16.native()),
            free_sizes=False,
            folder=True,
            strict_ending=True,
        ),
    )
    modes = (
        Mode(
            "coreml",
            "Core ML",
            endings=(".mlpackage",),
            format="coreml",
            layer_format="coreml",
            on_request=True,
            max_batch=1,
        ),
    )

    def convert(self, network: nn.Module, path: Path, how: Conversion) -> None:
        """Write a package. In ``fp16`` instance norms, inputs and outputs stay float32."""
        coremltools = optional("coremltools", "coreml", "Core ML export")
        expected = [each for each in tree_leaves(how.reference(*how.inputs)) if isinstance(each, Tensor)]
        try:
            model = _convert(coremltools, network, how, len(expected))
            model.user_defined_metadata[METADATA] = json.dumps(dict(how.metadata))
            model.save(str(path))
            (path / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)  # not part of the package
        except Exception as error:
            clear_frames(error.__traceback__)  # a frame holds a temporary folder of coremltools
            raise
        _check_description(coremltools, path, how.input_names, how.inputs, expected, how.reference)

    def open(self, path: Path, threads: int | None = None, precision: str | None = None) -> Runner:
        """Open a package. Without Core ML it has metadata and inputs, and raises when it is run.

        Raises:
            ExportError: coremltools is missing, or refuses the package.
        """
        coremltools = optional("coremltools", "coreml", f"{path}: running it")
        try:
            with quiet():
                units = coremltools.ComputeUnit.CPU_ONLY
                model = coremltools.models.MLModel(str(path), compute_units=units, skip_model_load=not runs_here())
                description = model.get_spec().description
        except Exception as error:
            raise ExportError(f"{path}: Core ML cannot run the file: {in_a_line(error)}") from error
        inputs = tuple(
            Input(each.name, tuple(each.type.multiArrayType.shape), _dtype_of(coremltools, each))
            for each in description.input
        )
        outputs = [each.name for each in description.output]
        metadata = json.loads(description.metadata.userDefined.get(METADATA, "{}"))
        return Runner(_runs(path, model, inputs, outputs), metadata, inputs)

    def usage(self, file: str, inputs: Mapping[str, str], precision: str, threads: int | None = None) -> Usage:
        """Return Python that runs a package with Core ML."""
        named = ", ".join(f'"{name}": {variable}' for name, variable in inputs.items())
        return Usage(
            "import coremltools\nimport numpy\n\n",
            f'network = coremltools.models.MLModel("{file}")\n',
            f"(result,) = network.predict({{{named}}}).values()  # on macOS\n",
        )

    def not_here(self) -> str | None:
        """Return a message on systems without Core ML; None on macOS."""
        return None if runs_here() else MACOS_ONLY


def _convert(coremltools: Any, module: nn.Module, how: Conversion, num_outputs: int) -> Any:
    program = torch.export.export(module, how.inputs).run_decompositions(_IN_SIMPLER_OPERATORS)
    half = coremltools.transform.FP16ComputePrecision(op_selector=lambda operator: operator.op_type not in _IN_FLOAT32)
    return coremltools.convert(
        program,
        convert_to="mlprogram",
        inputs=[
            coremltools.TensorType(name=name, shape=tensor.shape, dtype=_dtype(tensor))
            for name, tensor in zip(how.input_names, how.inputs, strict=True)
        ],
        outputs=[coremltools.TensorType(name=name, dtype=np.float32) for name in output_names(num_outputs)],
        compute_precision=half if how.precision == FP16.name else coremltools.precision.FLOAT32,
        minimum_deployment_target=coremltools.target.iOS16,
        skip_model_load=True,
    )


def _dtype(tensor: Tensor) -> type:
    """Return a type that Core ML has for inputs: it knows these two and float16; truth values become 0 and 1."""
    return np.float32 if tensor.is_floating_point() else np.int32


def _check_description(
    coremltools: Any,
    path: Path,
    names: Sequence[str],
    inputs: Inputs,
    outputs: Sequence[Tensor],
    reference: nn.Module,
) -> None:
    """Read the package back, and compare the names, shapes and types of its inputs and outputs."""
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
        raise ExportError(
            f"Core ML export of {type(reference).__name__}: the package has the inputs and outputs {got}, "
            f"expected {wanted}"
        )


def _runs(
    path: Path, model: Any, inputs: tuple[Input, ...], outputs: list[str]
) -> Callable[[tuple[Tensor, ...]], list[Tensor]]:
    def run(values: tuple[Tensor, ...]) -> list[Tensor]:
        if not runs_here():
            raise ExportError(
                f"{path}: {MACOS_ONLY}, and this is {sys.platform}; run it there, or export another format"
            )
        given = {known.name: tensor.to(known.dtype).numpy() for known, tensor in zip(inputs, values, strict=True)}
        results = model.predict(given)
        return [torch.from_numpy(np.asarray(results[name])) for name in outputs]

    return run


def _dtype_of(coremltools: Any, feature: Any) -> torch.dtype:
    kinds = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType
    return torch.int32 if feature.type.multiArrayType.dataType == kinds.INT32 else torch.float32
