"""The tables of docs/reference/support.md name what the registries hold, no more and no less."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gancompress.cost import CONVENTIONS
from gancompress.data import DATASETS
from gancompress.importance import SCORES
from gancompress.networks.registry import FAMILIES
from gancompress.registry import Registry, import_path_of
from gancompress.tasks import TASKS

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "support.md").read_text()
OF_OTHERS = "package.module:Class"


def rows(head: str) -> list[list[str]]:
    """The cells of the table whose first column has this head."""
    table = PAGE.partition(f"\n| {head} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def named(text: str) -> list[str]:
    return re.findall("`([^`]+)`", text)


def own(registry: Mapping[str, Any]) -> set[str]:
    """Names that this package registers, whatever other tests add."""
    source = registry.defining if isinstance(registry, Registry) else lambda value: value
    return {name for name, value in registry.items() if import_path_of(source(value)).startswith("gancompress.")}


@pytest.mark.parametrize(
    ("head", "names"),
    [("family", own(FAMILIES)), ("score", own(SCORES)), ("task", own(TASKS)), ("name", {*CONVENTIONS})],
)
def test_the_rows_are_those_of_the_registry(head, names):
    found = [name for first, *_ in rows(head) for name in named(first) if name != OF_OTHERS]
    assert sorted(found) == sorted(names)


def test_every_kind_of_data_fits_a_task():
    assert {kind for _, kinds, *_ in rows("task") for kind in kinds.split(", ")} == own(DATASETS)
