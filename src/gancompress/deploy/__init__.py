"""Export: files that run without this package, each compared with eager PyTorch before it is published at its path."""

from gancompress.deploy.generator import default_rewrites, export_generator, quality_of
from gancompress.deploy.load import Loaded, load
from gancompress.deploy.module import export_layers, export_module
from gancompress.deploy.parity import ExportReport, ParityCase, PerceptualDistance, PrecisionName, Quality
from gancompress.deploy.precision import DEFAULT_MIN_PSNR_DB, MIN_IMAGES, IntegerForm, Precision
from gancompress.deploy.runtimes.registry import (
    file_name,
    find_format,
    find_mode,
    known_formats,
    known_modes,
    known_runtimes,
    missing_package,
    register_runtime,
)
from gancompress.deploy.runtimes.runner import Input, Runner
from gancompress.deploy.runtimes.runtime import Conversion, Format, Mode, Runtime, Usage
from gancompress.deploy.usage import usage

__all__ = [
    "DEFAULT_MIN_PSNR_DB",
    "MIN_IMAGES",
    "Conversion",
    "ExportReport",
    "Format",
    "Input",
    "IntegerForm",
    "Loaded",
    "Mode",
    "ParityCase",
    "PerceptualDistance",
    "Precision",
    "PrecisionName",
    "Quality",
    "Runner",
    "Runtime",
    "Usage",
    "default_rewrites",
    "export_generator",
    "export_layers",
    "export_module",
    "file_name",
    "find_format",
    "find_mode",
    "known_formats",
    "known_modes",
    "known_runtimes",
    "load",
    "missing_package",
    "quality_of",
    "register_runtime",
    "usage",
]
