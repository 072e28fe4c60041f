"""Requirements by static check, because wheels of the lowest versions are not at hand: declared, true, and pinned."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OWN = [Requirement(text) for text in PROJECT["dependencies"]]
OPTIONAL = [Requirement(text) for texts in EXTRAS.values() for text in texts if not text.startswith("gancompress[")]

MODULES = {"PIL": "pillow", "yaml": "pyyaml", "onnx_ir": "onnx-ir", "ai_edge_litert": "ai-edge-litert"}
MODULES |= {"pydantic_core": "pydantic", "markupsafe": "jinja2", "litert_torch": "litert-torch"}
"""Distributions of modules of another name."""

FEATURES = {
    "torch": ("2.8", r"^from torch\.onnx\.ops import", "torch.onnx.ops"),
    "typer": ("0.19", r"^\s+Literal\[", "options of typing.Literal"),
    "optuna": ("4.3", r"JournalFileOpenLock", "locks of journals"),
    "pydantic": ("2.8", r"SerializerFunctionWrapHandler", "serializers of subclasses in unions"),
    "pillow": ("10.1", r"from PIL import", ""),
}
"""Lowest version, what the code uses of it, and its name."""


def lowest(requirement: Requirement) -> Version:
    return max(Version(each.version) for each in requirement.specifier if each.operator in (">=", "=="))


def imported(indent: str) -> set[str]:
    """Distributions of the modules that the package imports at the top of a file, or within functions."""
    pattern = re.compile(rf"^{indent}(?:from (\w+)[\w.]* import |import (\w+)(?:$| as |\.))", re.MULTILINE)
    found = {name for file in SOURCES for pair in pattern.findall(file.read_text()) for name in pair if name}
    return {MODULES.get(name, name) for name in found - {*sys.stdlib_module_names, "gancompress"}}


def test_everything_that_is_imported_is_declared():
    own, optional = ({each.name for each in requirements} for requirements in (OWN, OPTIONAL))
    assert "torch" in imported("") <= own
    assert "onnx-ir" in imported(r" +") - {"IPython"} <= own | optional  # a notebook has IPython


@pytest.mark.parametrize("name", FEATURES)
def test_lower_bounds_have_what_the_code_uses(name):
    wanted, pattern, _ = FEATURES[name]
    (requirement,) = [each for each in OWN if each.name == name]
    assert lowest(requirement) >= Version(wanted)
    assert any(re.search(pattern, file.read_text(), re.MULTILINE) for file in SOURCES), "the entry is out of date"


@pytest.mark.parametrize("requirement", [*OWN, *OPTIONAL], ids=str)
def test_what_is_pinned_and_what_is_installed_meets_the_bounds(requirement):
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    if str(requirement) == "pydantic<2.12":
        pytest.skip("of an extra that is installed alone")
    assert lowest(requirement)
    if requirement.name in pins:
        assert pins[requirement.name] in requirement.specifier
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return
    assert requirement.specifier.contains(installed, prereleases=True)


def test_the_driver_of_the_extra_is_the_one_of_the_url():
    from sqlalchemy.engine import make_url

    driver = make_url("postgresql://host/base").get_dialect().driver
    assert driver == ("psycopg" if Version(version("sqlalchemy")) >= Version("2.1") else "psycopg2")
    assert "psycopg" in {Requirement(text).name for text in EXTRAS["postgresql"]}
