"""A generator as a file, in the form that its runtime likes, with what its user must know inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gancompress.errors import ExportError, nearest
from gancompress.export.axes import Axes
from gancompress.export.contract import metadata_of
from gancompress.export.formats import FORMATS
from gancompress.export.parity import ExportReport
from gancompress.export.quantized import export_quantized
from gancompress.export.rewrites import rewritten
from gancompress.models.config import LatentConfig
from gancompress.models.families import find_family
from gancompress.models.generator import Generator
from gancompress.models.import_path import is_import_path
from gancompress.quantization import quantized_layers
from gancompress.tasks import FileForm


def export_generator(
    generator: Generator,
    form: FileForm,
    path: Path,
    format: str = "onnx",
    rewrites: Sequence[str] | None = None,
) -> ExportReport:
    """Write a generator as a file and compare it with the generator as it was before any rewrite.

    Args:
        generator: The generator.
        form: How the file takes its inputs, with examples of any batch and a size that the generator accepts; real ones
            where its network is quantized, whose file then holds integer weights.
        path: The file to write.
        format: A name in `FORMATS`.
        rewrites: Names in `gancompress.export.rewrites.REWRITES`; those measured to help by default.

    Raises:
        ExportError: There is no such format, its package is missing, it holds no integers but the network is
            quantized, or as `export_onnx` or `export_quantized`.
        ConfigError: There is no such rewrite.
    """
    if format not in FORMATS:
        raise ExportError(f"export: got the format '{format}', expected a known one; {nearest(format, FORMATS)}")
    how: Any = {"dynamic": form.axes or _free_axes(generator, form), "input_names": form.names}
    if quantized_layers(form.module):
        return _export_integers(generator, form, path, format, rewrites, how)
    names = default_rewrites(generator, format) if rewrites is None else rewrites
    changed, changes = rewritten(form.module, names)
    metadata = metadata_of(generator, form, changes)
    report = FORMATS[format].write(changed, form.inputs, path, metadata=metadata, reference=form.module, **how)
    return replace(report, rewrites=changes)


def _export_integers(
    generator: Generator, form: FileForm, path: Path, format: str, rewrites: Sequence[str] | None, how: Any
) -> ExportReport:
    if format != "onnx" or rewrites:
        got = f"the format '{format}'" if format != "onnx" else f"the rewrite '{(rewrites or ['none'])[0]}'"
        raise ExportError(
            f"export: got {got} for a quantized network, expected the format 'onnx' without rewrites, which holds its "
            "integers"
        )
    metadata = metadata_of(generator, form)
    return export_quantized(form.module, form.inputs, path, metadata=metadata, **how).onnx


def _free_axes(generator: Generator, form: FileForm) -> list[Axes] | None:
    """The batch alone where images come from noise, whose size is the family's; else the format's own."""
    if is_import_path(generator.family):
        return None
    latent = isinstance(find_family(generator.family).parse(generator.config), LatentConfig)
    return [{0: "batch"} for _ in form.inputs] if latent else None


def default_rewrites(generator: Generator, format: str) -> tuple[str, ...]:
    """Those that help in a format and that the generator can take, whatever the size of its images."""
    names = FORMATS[format].rewrites
    even = not is_import_path(generator.family) and (
        find_family(generator.family).size_multiple(generator.config) % 2 == 0
    )
    return names if even else tuple(name for name in names if name != "strided_last_convolution")
