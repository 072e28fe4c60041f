"""The command line: one function per verb, which parses, calls and prints.

Verbs import their dependencies inside the function: PyTorch takes seconds to load, and ``--help`` does not need it.
"""

from gancompress.cli.entry import app, main

__all__ = ["app", "main"]
