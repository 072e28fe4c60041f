"""Plans of tables of methods: rows that share a task, data and a teacher."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancompress.io.yaml_text import read_yaml

LENGTHS = ("num_images", "num_warmup_images", "num_decay_images", "ema_half_life", "log_every", "remove_every")
"""Options of steps and of their training that count its images."""


@dataclass(frozen=True)
class Plan:
    """A table of methods.

    Attributes:
        name: Name of the plan's file.
        base: Recipe of the shared task, data and teacher.
        seeds: Seeds of every row.
        changes: Options to change in the recipe, by path.
        rows: Steps of every row, by its name.
        row_changes: Options to change in the recipes of single rows, such as another budget, by row and path.
    """

    name: str
    base: str
    seeds: Sequence[int]
    changes: Mapping[str, Any]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    row_changes: Mapping[str, Mapping[str, Any]]

    @staticmethod
    def read(path: Path) -> Plan:
        """Read a plan; its ``parts`` only hold anchors. A row is its steps, or a mapping of ``steps`` and ``set``."""
        text = read_yaml(path.read_text(encoding="utf-8"))
        rows = {name: row if isinstance(row, dict) else {"steps": row} for name, row in text["rows"].items()}
        steps = {name: row["steps"] for name, row in rows.items()}
        changes = {name: row["set"] for name, row in rows.items() if "set" in row}
        return Plan(path.stem, text["recipe"], text["seeds"], text.get("set", {}), steps, changes)

    def recipe(self, row: str, seed: int, scale: float = 1) -> dict[str, Any]:
        """Return the recipe of a row with a seed, with so many times the images of training."""
        name, steps = f"{self.name} {row} {seed}", [_scaled(step, scale) for step in self.rows[row]]
        changes = {**self.changes, **self.row_changes.get(row, {})}
        return {"extends": self.base, "name": name, "seed": seed, "steps": steps, "set": changes}

    def run(self, out: Path, row: str, seed: int) -> Path:
        """Return the run directory of a row with a seed."""
        return out / re.sub(r"\W+", "-", row).strip("-").lower() / str(seed)


def _scaled(step: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Return a step with so many times the images of training; those of a refit stay."""

    def scaled(options: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: max(1, round(scale * value)) if key in LENGTHS and value else value for key, value in options.items()
        }

    return {**scaled(step), "training": scaled(step["training"])} if "training" in step else dict(step)
