"""Importer of ONNX files: nodes, rules by operator, layers, and patterns of several nodes."""
