"""The public names: listed, lazy, and functions whatever was imported before."""

from __future__ import annotations

import subprocess
import sys

import gancompress as gc

CHECK = """
import sys, time
began = time.perf_counter()
import gancompress
seconds = time.perf_counter() - began
assert "torch" not in sys.modules and "pydantic" not in sys.modules
assert seconds < 0.2, seconds
assert {"trace", "prune", "compress", "__version__"} <= set(dir(gancompress))
import gancompress.methods.search, gancompress.deploy, gancompress.reconstruction
assert all(callable(getattr(gancompress, name)) for name in ("search", "export", "refit"))
from gancompress.architecture_search import SearchSpace
"""


def test_names_are_listed_and_imported_when_they_are_used():
    subprocess.run([sys.executable, "-c", CHECK], check=True)
    for name in gc.__all__:
        assert getattr(gc, name) is not None
        assert name in dir(gc)
    assert gc.__version__.count(".") == 2
