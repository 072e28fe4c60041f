"""Compression jobs: a recipe, its steps, and the run that leads from one to the other; calls the library below."""
