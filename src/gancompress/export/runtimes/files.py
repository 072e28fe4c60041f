"""Any exported file, by what its name ends in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gancompress.errors import ConfigError
from gancompress.export.runtimes import coreml_runtime, litert_runtime, onnx_runtime, openvino_runtime, torch_runtime
from gancompress.export.runtimes.runner import Runner

ENDINGS = (".onnx", ".xml", ".pt2", ".mlpackage", ".tflite")


def open_file(
    path: Path, threads: int | None = None, precision: Literal["fp32", "bf16", "fp16", "int8"] | None = None
) -> Runner:
    """A file of onnxruntime (``.onnx``), OpenVINO (``.xml``), Core ML (``.mlpackage``), LiteRT (``.tflite``) or
    torch.export (``.pt2``).

    Args:
        path: The file.
        threads: Threads of onnxruntime, OpenVINO or LiteRT; their own choice by default.
        precision: ``bf16``: what OpenVINO computes the float layers in; by default what the file was exported for.

    Raises:
        ConfigError: An option that this kind of file has not.
        ExportError: The runtime is missing, or refuses the file.
    """
    if precision == "bf16" and path.suffix != ".xml":
        raise ConfigError(f"{path}: got precision 'bf16', which is for OpenVINO's .xml files; leave it out")
    if path.suffix == ".onnx":
        return onnx_runtime.open_file(path, threads)
    if path.suffix == ".xml":
        return openvino_runtime.open_file(path, threads, precision)
    if path.suffix == ".mlpackage":
        return coreml_runtime.open_file(path)
    if path.suffix == ".tflite":
        return litert_runtime.open_file(path, threads)
    return torch_runtime.open_program(path)
