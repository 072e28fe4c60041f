"""Export: files that run without this package, each compared with eager PyTorch before it gets its name."""

from gancompress.export.generator import export_generator
from gancompress.export.onnx import OnnxCase, OnnxReport, export_onnx

__all__ = ["OnnxCase", "OnnxReport", "export_generator", "export_onnx"]
