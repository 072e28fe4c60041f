"""Core ML packages (``.mlpackage``), run by Core ML on the CPU, on macOS; elsewhere they can be read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancompress.errors import ExportError
from gancompress.export.runtimes.packages import in_a_line, optional, quiet
from gancompress.export.runtimes.runner import Input, Runner

METADATA = "gancompress"
"""The entry of the package's own metadata that holds ours: one JSON object."""

MACOS_ONLY = "Core ML runs on macOS only"


def runs_here() -> bool:
    """Whether this system has Core ML."""
    return sys.platform == "darwin"


def open_file(path: Path) -> Runner:
    """A Core ML package. Where there is no Core ML it tells its metadata and inputs, and raises when it is run.

    Args:
        path: The ``.mlpackage``.

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
        Input(each.name, tuple(each.type.multiArrayType.shape), _dtype(coremltools, each)) for each in description.input
    )
    outputs = [each.name for each in description.output]
    metadata = json.loads(description.metadata.userDefined.get(METADATA, "{}"))
    return Runner(_runs(path, model, inputs, outputs), metadata, inputs)


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


def _dtype(coremltools: Any, feature: Any) -> torch.dtype:
    kinds = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType
    return torch.int32 if feature.type.multiArrayType.dataType == kinds.INT32 else torch.float32
