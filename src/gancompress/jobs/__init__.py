"""Compression jobs: recipes, their steps and their runs. A thin layer over the functions that Python users call."""
