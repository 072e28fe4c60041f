"""A generator as a file, in the form that its runtime likes, with what its user must know inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from gancompress.errors import ExportError, nearest
from gancompress.export.contract import contract_of, to_text
from gancompress.export.formats import FORMATS
from gancompress.export.parity import ExportReport
from gancompress.export.rewrites import rewritten
from gancompress.models.families import find_family
from gancompress.models.generator import Generator
from gancompress.models.import_path import is_import_path


def export_generator(
    generator: Generator,
    example_inputs: tuple[Tensor, ...],
    path: Path,
    format: str = "onnx",
    rewrites: Sequence[str] | None = None,
) -> ExportReport:
    """Write a generator as a file and compare it with the generator as it was before any rewrite.

    Args:
        generator: The generator.
        example_inputs: Its inputs, of any batch and a size that it accepts.
        path: The file to write.
        format: A name in `FORMATS`.
        rewrites: Names in `gancompress.export.rewrites.REWRITES`; those measured to help by default.

    Raises:
        ExportError: There is no such format, its package is missing, or as `export_onnx`.
        ConfigError: There is no such rewrite.
    """
    if format not in FORMATS:
        raise ExportError(f"export: got the format '{format}', expected a known one; {nearest(format, FORMATS)}")
    network = generator.build()
    names = default_rewrites(generator, format) if rewrites is None else rewrites
    changed, changes = rewritten(network, names)
    metadata = to_text(contract_of(generator, changes))
    report = FORMATS[format].write(changed, example_inputs, path, metadata=metadata, reference=network)
    return replace(report, rewrites=changes)


def default_rewrites(generator: Generator, format: str) -> tuple[str, ...]:
    """Those that help in a format and that the generator can take, whatever the size of its images."""
    names = FORMATS[format].rewrites
    even = not is_import_path(generator.family) and (
        find_family(generator.family).size_multiple(generator.config) % 2 == 0
    )
    return names if even else tuple(name for name in names if name != "strided_last_convolution")
