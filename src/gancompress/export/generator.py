"""A generator as a file, with what its user must know inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gancompress.export.onnx import OnnxReport, export_onnx
from gancompress.export.quantized import export_quantized
from gancompress.models.config_strings import plan_string
from gancompress.models.families import find_family
from gancompress.models.generator import Generator
from gancompress.models.import_path import is_import_path
from gancompress.quantization import quantized_layers
from gancompress.tasks import FileForm


def export_generator(generator: Generator, form: FileForm, path: Path) -> OnnxReport:
    """Write a generator as ONNX, its family, plan and input contract in the file's metadata.

    Args:
        generator: The generator.
        form: How the file takes its inputs, with examples of any batch and a size that the generator accepts; real ones
            where its network is quantized, whose file then holds integer weights.
        path: The file to write.

    Raises:
        ExportError: As `export_onnx` or `export_quantized`.
    """
    metadata = {"family": generator.family, "plan": plan_string(generator.family, generator.config) or ""}
    if not is_import_path(generator.family):
        contract = find_family(generator.family).input_contract(generator.config)
        metadata |= {name: json.dumps(value) for name, value in contract.items()}
    metadata |= form.facts
    how: Any = {"dynamic": form.axes, "input_names": form.names, "metadata": metadata}
    if quantized_layers(form.module):
        return export_quantized(form.module, form.inputs, path, **how).onnx
    return export_onnx(form.module, form.inputs, path, **how)
