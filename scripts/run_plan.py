"""Run the rows of a plan: every method of a table with every seed, one after another.

    python scripts/run_plan.py scripts/plans/quickstart.yaml --out runs/quickstart-methods
    python scripts/run_plan.py scripts/plans/quickstart.yaml --out runs/short-methods --rows "FSP" --seeds 0 --scale 0.2

A plan names the recipe whose task, data and teacher all rows share, options to change in it (``set``), seeds, and the
steps of each row; ``--scale`` multiplies the images of their training. All rows of a seed come before those of the
next one. Every recipe is checked before the first run. The same command resumes, and finished runs are not repeated.
``compare_runs.py --plan`` makes the table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plan import Plan

from gancompress.errors import GanCompressError
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.jobs.summary import summarise
from gancompress.report.write import write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", metavar="NAME[;NAME...]", help="all by default")
    parser.add_argument("--seeds", metavar="N[,N...]", help="those of the plan by default")
    parser.add_argument("--scale", type=float, default=1, help="times the images of training")
    given = parser.parse_args()
    plan = Plan.read(given.plan)
    rows = list(plan.rows) if given.rows is None else given.rows.split(";")
    if unknown := [row for row in rows if row not in plan.rows]:
        parser.error(f"--rows: got {', '.join(unknown)}, expected rows of {given.plan}: {', '.join(plan.rows)}")
    seeds = plan.seeds if given.seeds is None else list(map(int, given.seeds.split(",")))
    cells = [(row, seed) for seed in seeds for row in rows]
    checked = [begin(plan.recipe(*cell, given.scale), plan.run(given.out, *cell)) for cell in cells]
    for (row, seed), unfinished in zip(cells, checked, strict=True):
        if unfinished:
            run_row(plan.run(given.out, row, seed), f"{row}, seed {seed}")


def begin(recipe: Mapping[str, Any], directory: Path) -> bool:
    """Write the recipe of a run and check it; False if the run is finished. Raises SystemExit at a mistake."""
    file, text = directory / "recipe.yaml", json.dumps(recipe)
    if (directory / "report.json").is_file():
        if file.is_file() and json.loads(file.read_text()) != json.loads(text):
            raise SystemExit(
                f"{directory}: got the run of another recipe, expected that of the plan; name another --out"
            )
        return False
    directory.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    try:
        load_job(str(file))
    except GanCompressError as error:
        raise SystemExit(str(error)) from None
    return True


def run_row(directory: Path, name: str) -> None:
    """Run one row with one seed."""
    file = directory / "recipe.yaml"
    started = time.process_time()
    try:
        pipeline = Pipeline(load_job(str(file)), directory, lambda _: None)
        outcome = pipeline.run()
    except GanCompressError as error:
        raise SystemExit(f"{name}: {error}") from None
    assert outcome is not None
    write_report(summarise(outcome, pipeline.inputs.example()), directory)
    print(f"{name}: {time.process_time() - started:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
