"""Importing the package stays cheap: deployment loads neither the trainer nor what draws reports."""

from __future__ import annotations

import subprocess
import sys

import pytest

TRAINING = {"accelerate", "optuna", "sqlalchemy", "matplotlib", "jinja2", "typer", "rich", "yaml"}
"""Packages that running a network does not need."""

TRAINER = {f"gancompress.{room}" for room in ("training", "tasks", "losses", "data", "steps", "report", "search")}


def modules_after(statement: str) -> set[str]:
    """Return all modules that a new interpreter has imported after a statement."""
    program = f"import sys\n{statement}\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import gancompress", TRAINING | TRAINER | {"torch", "numpy", "pydantic"}),
        ("import gancompress; gancompress.load", TRAINING | TRAINER),
        ("import gancompress.deploy.benchmark.worker", TRAINING | TRAINER - {"gancompress.report"}),
    ],
)
def test_what_an_import_must_not_load(statement, forbidden):
    assert not modules_after(statement) & forbidden


def test_the_list_can_fail():
    assert modules_after("import yaml") & TRAINING
