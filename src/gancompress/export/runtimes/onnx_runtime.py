"""ONNX files, run by onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancompress.errors import ExportError
from gancompress.export.runtimes.lacking import refusal
from gancompress.export.runtimes.packages import optional
from gancompress.export.runtimes.runner import Input, Runner

_DTYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
    "tensor(int8)": torch.int8,
    "tensor(int32)": torch.int32,
    "tensor(int64)": torch.int64,
    "tensor(uint8)": torch.uint8,
    "tensor(bool)": torch.bool,
}


def open_file(path: Path, threads: int | None = None) -> Runner:
    """An ONNX file.

    Args:
        path: The file.
        threads: Threads of one operator; onnxruntime's own choice by default.

    Raises:
        ExportError: onnxruntime is missing, or refuses the file.
    """
    return runner(session(path, threads=threads))


def session(path: Path, threads: int | None = None, profile: Path | None = None) -> Any:
    """An `onnxruntime.InferenceSession`.

    Args:
        path: The file.
        threads: As for `open_file`.
        profile: How the name of a profile begins, to be written at the end; None measures nothing.

    Raises:
        ExportError: As `open_file`.
    """
    onnxruntime = optional("onnxruntime", "onnx", f"{path}: running it")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised; the log would say it twice
    if threads is not None:
        options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"{path}: onnxruntime cannot run the file: {refusal(error)}") from error


def runner(opened: Any) -> Runner:
    """A session as a function.

    Raises:
        ExportError: An input is no tensor of numbers.
    """
    inputs = tuple(
        Input(each.name, tuple(size if isinstance(size, int) else None for size in each.shape), _dtype(each))
        for each in opened.get_inputs()
    )

    def run(values: tuple[Tensor, ...]) -> list[Tensor]:
        arrays = {given.name: tensor.detach().cpu().numpy() for given, tensor in zip(inputs, values, strict=True)}
        return [torch.from_numpy(array) for array in opened.run(None, arrays)]

    return Runner(run, opened.get_modelmeta().custom_metadata_map, inputs)


def _dtype(given: Any) -> torch.dtype:
    if given.type not in _DTYPES:
        raise ExportError(f"input {given.name}: got {given.type}, expected one of {', '.join(_DTYPES)}")
    return _DTYPES[given.type]
