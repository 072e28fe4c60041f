"""Export: files that run without this package, each compared with eager PyTorch before it gets its name."""

from gancompress.export.formats import FORMATS, FormatName
from gancompress.export.generator import default_rewrites, export_generator
from gancompress.export.load import Loaded, load
from gancompress.export.onnx import OnnxReport, export_onnx
from gancompress.export.openvino import export_openvino
from gancompress.export.parity import ExportReport, ParityCase
from gancompress.export.program import export_program

__all__ = [
    "FORMATS",
    "ExportReport",
    "FormatName",
    "Loaded",
    "OnnxReport",
    "ParityCase",
    "default_rewrites",
    "export_generator",
    "export_onnx",
    "export_openvino",
    "export_program",
    "load",
]
