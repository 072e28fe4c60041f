"""Code stays short where a reader begins: functions, the adapters that recipes name, and the pipeline."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import gancompress

ROOT = Path(gancompress.__file__).parent
STEPS = sorted((ROOT / "jobs" / "steps").glob("*.py"))

MOST_LINES = 40
MOST_LINES_OF_A_FILE, USUAL_LINES = 400, 250
MOST_LINES_OF_A_STEP = 40


@cache
def functions(path: Path) -> tuple[tuple[str, int], ...]:
    """Name and number of lines of every function of a file, without its signature, docstring and inner functions."""
    return tuple(_functions(ast.parse(path.read_text(encoding="utf-8"))))


def _functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            inner = sum((each.end_lineno or 0) - each.lineno + 1 for each in body if isinstance(each, ast.FunctionDef))
            yield node.name, ((body[-1].end_lineno or 0) - body[0].lineno + 1 - inner) if body else 0


def test_functions_are_short():
    found = {
        f"{path.relative_to(ROOT)}: {name}": lines for path in ROOT.rglob("*.py") for name, lines in functions(path)
    }
    longest = sorted(found, key=lambda place: -found[place])[:10]
    print(*(f"{found[place]} {place}" for place in longest), sep="\n")
    assert [place for place in longest if found[place] > MOST_LINES] == []


def test_files_are_short():
    lengths = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in ROOT.rglob("*.py")}
    assert [name for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE] == []
    assert sum(lines > USUAL_LINES for lines in lengths.values()) < len(lengths) / 10


@pytest.mark.parametrize("path", STEPS, ids=[path.stem for path in STEPS])
def test_steps_are_adapters_of_few_lines(path):
    """Methods are functions of the library; what a step adds to them is little."""
    assert sum(lines for _, lines in functions(path)) <= MOST_LINES_OF_A_STEP


def test_the_pipeline_fits_on_few_screens():
    tree = ast.parse((ROOT / "jobs" / "pipeline.py").read_text(encoding="utf-8"))
    (pipeline,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    assert (pipeline.end_lineno or 0) - pipeline.lineno < 130
