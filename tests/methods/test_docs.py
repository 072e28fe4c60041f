"""The page and the notebooks about Python run, briefly."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from gancompress.methods.progress import Progress

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
SHORT = {"NUM_IMAGES = 20_000": "NUM_IMAGES = 64", "CANDIDATES = 60": "CANDIDATES = 4"}


def test_the_page_runs_in_its_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    snippets = re.findall(r"```python\n(.*?)```", (DOCS / "tutorials" / "python.md").read_text(), flags=re.DOTALL)
    assert len(snippets) == 11
    for snippet in snippets:
        exec(compile(snippet, "python.md", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.count("PSNR dB") == 5
    assert (tmp_path / "small.onnx").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(path.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names: dict = {}
    last = None
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            for long, short in SHORT.items():
                source = source.replace(long, short)
            last = _run(source, names)
    assert last is not None


def _run(source: str, names: dict):
    """Run a cell; returns the value of its last line, as a notebook shows it."""
    tree = ast.parse(source)
    if not isinstance(tree.body[-1], ast.Expr):
        exec(compile(tree, "cell", "exec"), names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), names)
    value = eval(compile(ast.Expression(tree.body[-1].value), "cell", "eval"), names)
    assert repr(value)
    return value


def test_the_page_lists_three_notebooks_and_their_lines():
    """The first two cells of each hold the network and its data."""
    page = (DOCS / "tutorials" / "python.md").read_text()
    listed = dict(re.findall(r"notebooks/(\w+)\.ipynb\) \|.*\| (\d+) \|", page))
    assert sorted(listed) == ["own_network", "search", "vocoder"] == [path.stem for path in NOTEBOOKS]
    for path in NOTEBOOKS:
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        lines = [line for cell in cells[2:] for line in "".join(cell["source"]).splitlines() if line.strip()]
        assert int(listed[path.stem]) == len(lines), path.stem


def test_progress_is_shown_as_text():
    assert str(Progress("distill", "", 3, 4, "images")) == "3 of 4 images"
