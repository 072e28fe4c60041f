"""Export: files that run without this package, each compared with eager PyTorch before it gets its name."""

from gancompress.export.formats import FORMATS, FormatName, file_name, missing_package
from gancompress.export.generator import default_rewrites, export_generator, quality_of
from gancompress.export.load import Loaded, load
from gancompress.export.onnx import OnnxReport, export_onnx
from gancompress.export.openvino import export_openvino
from gancompress.export.parity import ExportReport, ParityCase, PerceptualDistance, PrecisionName, Quality
from gancompress.export.precision import DEFAULT_MIN_PSNR_DB, MIN_IMAGES, Precision
from gancompress.export.program import export_program
from gancompress.export.usage import usage

__all__ = [
    "DEFAULT_MIN_PSNR_DB",
    "FORMATS",
    "MIN_IMAGES",
    "ExportReport",
    "FormatName",
    "Loaded",
    "OnnxReport",
    "ParityCase",
    "PerceptualDistance",
    "Precision",
    "PrecisionName",
    "Quality",
    "default_rewrites",
    "export_generator",
    "export_onnx",
    "export_openvino",
    "export_program",
    "file_name",
    "load",
    "missing_package",
    "quality_of",
    "usage",
]
