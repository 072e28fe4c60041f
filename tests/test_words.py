"""Docstrings speak the field's language: no riddles for openings, no private words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gancompress

ROOT = Path(gancompress.__file__).parent
RELATIVE = re.compile(r"(What|How|Which|Where|Whether|That|Those)\b")
PRIVATE = re.compile(r"\b(judge[sd]?|tutors?|outlook|anew)\b(?!`)", re.IGNORECASE)


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Place and text of every docstring of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}", text


@pytest.mark.parametrize("room", sorted(path.name for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py"))
def test_no_docstring_opens_with_a_relative_word_or_uses_a_private_one(room):
    paths = [ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py"))
    found = [
        f"{place}: {text.splitlines()[0]}"
        for path in paths
        for place, text in docstrings(path)
        if RELATIVE.match(text) or PRIVATE.search(text)
    ]
    assert not found, "\n".join(found)
