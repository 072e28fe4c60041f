"""OpenVINO IR (``.xml`` with its ``.bin``) and ONNX files, run by OpenVINO on the CPU."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancompress.errors import ExportError
from gancompress.export.runtimes.lacking import refusal
from gancompress.export.runtimes.packages import optional
from gancompress.export.runtimes.runner import Input, Runner

METADATA = ["gancompress", "metadata"]
"""Where in the file's runtime information the metadata is: one JSON object."""

_HINTS = {"bf16": "bf16"}


def open_file(path: Path, threads: int | None = None, precision: str | None = None) -> Runner:
    """A file that OpenVINO reads.

    Args:
        path: ``.xml`` or ``.onnx``.
        threads: Threads to run on; OpenVINO's own choice by default.
        precision: What it computes float layers in: bf16, or float32 for every other name; by default what the file was
            exported for. bf16 takes a processor with instructions for it; elsewhere it gains nothing.

    Raises:
        ExportError: OpenVINO is missing, or refuses the file.
    """
    openvino = optional("openvino", "openvino", f"{path}: running it")
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        core = _core(openvino)
        model = core.read_model(path)
        metadata = json.loads(model.get_rt_info(METADATA).astype(str)) if model.has_rt_info(METADATA) else {}
        options["INFERENCE_PRECISION_HINT"] = _HINTS.get(precision or metadata.get("precision", ""), "f32")
        compiled = core.compile_model(model, "CPU", options)
    except Exception as error:
        raise ExportError(f"{path}: OpenVINO cannot run the file: {refusal(error)}") from error
    request = compiled.create_infer_request()
    inputs = tuple(
        Input(
            each.get_any_name(),
            tuple(size.get_length() if size.is_static else None for size in each.partial_shape),
            torch.from_numpy(np.empty(0, each.element_type.to_dtype())).dtype,
        )
        for each in model.inputs
    )

    def run(values: tuple[Tensor, ...]) -> list[Tensor]:
        results = request.infer([tensor.detach().cpu().numpy() for tensor in values], share_inputs=True)
        return [torch.from_numpy(results[output]) for output in compiled.outputs]

    return Runner(run, metadata, inputs)


@cache
def _core(openvino: Any) -> Any:
    """OpenVINO's entrance, one for the whole process.

    Its plugin for the CPU gives the thread a stack of its own for signals and puts back, when it goes, the one that it
    found. Of two that go in the order in which they came the second puts back the memory that the first has freed; the
    next signal, such as the end of a child process, then kills the process without a word (OpenVINO 2026.4).
    """
    return openvino.Core()
