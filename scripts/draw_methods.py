"""Draw what every method of a plan makes of the same test inputs: a line for each row of the plan, as a JPEG.

    python scripts/draw_methods.py scripts/plans/quickstart.yaml methods.jpg --out runs/quickstart-methods

The rows are those that ``run_plan.py`` has run with the seed. The first lines are the inputs, the ground truth if there
is one, and the teacher.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from draw_gallery import shrink
from plan import Plan
from torch import Tensor

from gancompress.jobs.recipe import load_job
from gancompress.networks.generator import Generator
from gancompress.networks.given import call
from gancompress.networks.outputs import image_of
from gancompress.report.grid import sample_grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the plan's runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=4, help="test inputs, the first ones")
    given = parser.parse_args()
    plan = Plan.read(given.plan)
    runs = {row: run for row in plan.rows if (run := plan.run(given.out, row, given.seed) / "report.json").is_file()}
    if not runs:
        parser.error(
            f"--out: found no finished run of seed {given.seed} in {given.out}, expected those of {given.plan}"
        )
    directories = {row: run.parent for row, run in runs.items()}
    lines = made_by(directories, given.images)
    columns = {" " * number: torch.cat([line[number] for line in lines.values()]) for number in range(given.images)}
    with tempfile.TemporaryDirectory() as folder:
        grid = Path(folder) / "grid.png"
        sample_grid(columns, grid, list(lines))
        shrink(grid, given.picture)


@torch.no_grad()
def made_by(runs: dict[str, Path], num_images: int) -> dict[str, list[Tensor]]:
    """Return the images [1, c, h, w] of inputs, truth, teacher and every run, by the name of the line."""
    first = next(iter(runs.values()))
    inputs = load_job(str(first / "job.yaml")).inputs()
    batch = inputs.first_images("test", num_images)
    networks = {"teacher": first / "teacher", **runs}
    images = {"input": batch["input"], **({"truth": batch["target"]} if "target" in batch else {})}
    for name, path in networks.items():
        images[name] = image_of(call(Generator.load(path).build().eval(), inputs.task.encode(batch["input"])))
    return {name: list(image.split(1)) for name, image in images.items()}


if __name__ == "__main__":
    main()
