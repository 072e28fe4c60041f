"""Export: files that run without this package, each compared with eager PyTorch before it is published at its path."""

from gancompress.deploy.compute_types import BF16, FP16, FP32, INT8, ComputeType
from gancompress.deploy.file_options import FileOptions
from gancompress.deploy.generator import (
    default_rewrites,
    export_generator,
    on_parts,
    parts_note,
    quality_of,
    takes_parts,
)
from gancompress.deploy.load import Loaded, load
from gancompress.deploy.module import export_layers, export_module
from gancompress.deploy.parity import ExportReport, ParityCase, PerceptualDistance, Quality
from gancompress.deploy.precision import DEFAULT_MIN_PSNR_DB, MIN_IMAGES, IntegerForm, Precision
from gancompress.deploy.runtimes.formats import Conversion, Format, Mode, Usage
from gancompress.deploy.runtimes.registry import (
    RUNTIMES,
    file_name,
    find_compute_type,
    find_format,
    find_mode,
    format_of,
    known_formats,
    known_modes,
    missing_package,
    register_runtime,
)
from gancompress.deploy.runtimes.runner import Input, Runner
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.deploy.usage import usage

__all__ = [
    "BF16",
    "DEFAULT_MIN_PSNR_DB",
    "FP16",
    "FP32",
    "INT8",
    "MIN_IMAGES",
    "RUNTIMES",
    "ComputeType",
    "Conversion",
    "ExportReport",
    "FileOptions",
    "Format",
    "Input",
    "IntegerForm",
    "Loaded",
    "Mode",
    "ParityCase",
    "PerceptualDistance",
    "Precision",
    "Quality",
    "Runner",
    "Runtime",
    "Usage",
    "default_rewrites",
    "export_generator",
    "export_layers",
    "export_module",
    "file_name",
    "find_compute_type",
    "find_format",
    "find_mode",
    "format_of",
    "known_formats",
    "known_modes",
    "load",
    "missing_package",
    "on_parts",
    "parts_note",
    "quality_of",
    "register_runtime",
    "takes_parts",
    "usage",
]
