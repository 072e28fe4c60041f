"""The command line: one function per verb, which parses, calls and prints.

What a verb needs is imported inside it: PyTorch takes seconds to load, and ``--help`` does not need it.
"""

from gancompress.cli.entry import app, main

__all__ = ["app", "main"]
