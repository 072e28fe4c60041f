"""Importer of ncnn's files: text and weights, layers, operators."""
