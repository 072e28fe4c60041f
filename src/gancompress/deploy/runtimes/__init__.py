"""Runtimes that run files and networks, one module each."""
