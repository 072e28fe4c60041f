"""A generator as a file, with what its user must know inside."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from gancompress.export.onnx import OnnxReport, export_onnx
from gancompress.models.config import LatentConfig
from gancompress.models.config_strings import plan_string
from gancompress.models.families import find_family
from gancompress.models.generator import Generator
from gancompress.models.import_path import is_import_path


def export_generator(generator: Generator, example_inputs: tuple[Tensor, ...], path: Path) -> OnnxReport:
    """Write a generator as ONNX, its family, plan and input contract in the file's metadata.

    Args:
        generator: The generator.
        example_inputs: Its inputs, of any batch and a size that it accepts.
        path: The file to write.

    Raises:
        ExportError: As `export_onnx`.
    """
    metadata = {"family": generator.family, "plan": plan_string(generator.family, generator.config) or ""}
    dynamic = None
    if not is_import_path(generator.family):
        if isinstance(find_family(generator.family).parse(generator.config), LatentConfig):
            dynamic = [{0: "batch"} for _ in example_inputs]  # images from noise have one size
        contract = find_family(generator.family).input_contract(generator.config)
        metadata |= {name: json.dumps(value) for name, value in contract.items()}
    return export_onnx(generator.build(), example_inputs, path, metadata=metadata, dynamic=dynamic)
