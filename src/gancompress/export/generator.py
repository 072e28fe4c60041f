"""A generator as a file, with what its user must know inside."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from gancompress.export.onnx import OnnxReport, export_onnx
from gancompress.export.quantized import export_quantized
from gancompress.models.config_strings import plan_string
from gancompress.models.families import find_family
from gancompress.models.generator import Generator
from gancompress.models.import_path import is_import_path
from gancompress.quantization import Quantization


def export_generator(
    generator: Generator, example_inputs: tuple[Tensor, ...], path: Path, quantization: Quantization | None = None
) -> OnnxReport:
    """Write a generator as ONNX, its family, plan and input contract in the file's metadata.

    Args:
        generator: The generator.
        example_inputs: Its inputs, of any batch and a size that it accepts; real ones where it is quantized.
        path: The file to write.
        quantization: Where given, the file holds integer weights and rounds activations to these ranges.

    Raises:
        ExportError: As `export_onnx` or `export_quantized`.
    """
    metadata = {"family": generator.family, "plan": plan_string(generator.family, generator.config) or ""}
    if not is_import_path(generator.family):
        contract = find_family(generator.family).input_contract(generator.config)
        metadata |= {name: json.dumps(value) for name, value in contract.items()}
    network = generator.build()
    if quantization is None:
        return export_onnx(network, example_inputs, path, metadata=metadata)
    return export_quantized(quantization.attach(network).eval(), example_inputs, path, metadata=metadata).onnx
