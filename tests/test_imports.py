"""Importing the package stays cheap: deployment loads neither the trainer nor what draws reports."""

from __future__ import annotations

import subprocess
import sys

TRAINING = {"accelerate", "optuna", "sqlalchemy", "matplotlib", "jinja2", "typer", "rich", "yaml"}
"""Packages that running a network does not need."""

TRAINER = {f"gancompress.{room}" for room in ("training", "tasks", "losses", "data", "jobs", "report", "search")}


INSPECT = """
from contextlib import redirect_stdout
from gancompress.cli import app
try:
    with redirect_stdout(sys.stderr):
        app(["inspect", "resnet_6blocks", "--size", "32x32", "--json"])
except SystemExit as end:
    assert not end.code
"""

STATEMENTS = {
    "import gancompress": TRAINING | TRAINER | {"torch", "numpy", "pydantic"},
    "gancompress.load": TRAINING | TRAINER,
    "import gancompress.deploy.benchmark.worker": TRAINING | TRAINER - {"gancompress.report"},
    INSPECT: {"accelerate", "optuna", "sqlalchemy", "matplotlib"},
}
"""Statements that a process runs in this order, each with the modules that may not be loaded after it."""


def loaded(*statements: str) -> list[set[str]]:
    """Return all modules that a new interpreter has imported after each of some statements."""
    program = "\n".join(["import sys", *(f"{each}\nprint(*sys.modules)" for each in statements)])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_what_must_not_be_loaded():
    for (statement, forbidden), modules in zip(STATEMENTS.items(), loaded(*STATEMENTS), strict=True):
        assert not modules & forbidden, statement


def test_the_list_can_fail():
    (modules,) = loaded("import yaml")
    assert modules & TRAINING
