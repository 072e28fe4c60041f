"""Measure the images per second of a recipe's student steps in two source trees, in turns.

Every round runs each step of the recipe once with each tree, from the same teacher, for the same few images. The first
pass over the training images is reported separately from later passes, because the teacher's outputs are cached from
the first one on. Ratios are medians over the rounds; a shared machine is noisy, so only runs of one round are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml

from gancompress.jobs.recipe import load_job

TRAINED = ("distill", "supernet", "finetune", "slim")


def recipe(name: str, teacher: Path, step: str, num_images: int, num_passes: int, sets: list[str]) -> dict[str, Any]:
    """Return the recipe with only one of its student steps, for a few passes over its first training images."""
    job = load_job(name, sets)
    number = next(i for i, each in enumerate(job.steps) if each.kind == step)
    options = job.steps[number].model_dump(mode="json", exclude_unset=True)
    training = {**options.get("training", {}), "num_images": num_passes * num_images, "num_decay_images": 0}
    training |= {"log_every": num_images, "checkpoint_every": 10**9, "preview_every": 0}
    data = job.data.model_dump(mode="json", exclude_unset=True)
    if data["kind"] == "procedural":
        data["num_images"] = {**data["num_images"], "train": num_images}
    discriminator = teacher.parent / "discriminator"
    return {
        "name": "benchmark",
        "task": job.model_dump(mode="json")["task"],
        "data": data,
        "teacher": {
            "checkpoint": str(teacher.resolve()),
            **({"discriminator": str(discriminator.resolve())} if discriminator.is_dir() else {}),
        },
        "budget": {"reduction": 8},
        "steps": [{**options, "kind": step, "training": training}],
        "exports": [],
        "metrics": {"against_real": [], "against_teacher": ["psnr"], "max_images": 4},
    }


def rates(source: Path, job: dict[str, Any], threads: int) -> list[float]:
    """Return the images per second of each pass, measured by the source tree's own log."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recipe.yaml").write_text(yaml.safe_dump(job))
        command = [
            sys.executable,
            "-m",
            "gancompress",
            "compress",
            str(folder / "recipe.yaml"),
            "--out",
            str(folder / "run"),
        ]
        environment = {**os.environ, "PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        (losses,) = (folder / "run" / "steps").glob("1-*/losses.jsonl") if done.returncode == 0 else [None]
        if losses is None:
            raise SystemExit(f"{source}: {done.stderr or done.stdout}")
        return [json.loads(line)["images_per_second"] for line in losses.read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout of this project")
    parser.add_argument("after", type=Path, help="another checkout")
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--set", action="append", default=[], help="an option of the recipe; repeatable")
    parser.add_argument("--teacher", type=Path, required=True, help="directory of the teacher's generator")
    parser.add_argument("--images", type=int, default=400, help="training images, and images of one pass")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, torch {torch.__version__}, {arguments.threads} threads; {vars(arguments)}")
    trees = (arguments.before, arguments.after)
    print("\n| step | pass | images/s before | after | ratio |\n|---|---|---|---|---|")
    steps = dict.fromkeys(step.kind for step in load_job(arguments.recipe, arguments.set).steps if step.kind in TRAINED)
    for step in steps:
        given = arguments.recipe, arguments.teacher, step, arguments.images, arguments.passes, arguments.set
        rounds = [[rates(tree, recipe(*given), arguments.threads) for tree in trees] for _ in range(arguments.rounds)]
        for name, part in (("first", slice(0, 1)), ("later", slice(1, None))):
            means = [[statistics.mean(found[part]) for found in each] for each in rounds]
            before, after = (statistics.median(column) for column in zip(*means, strict=True))
            ratio = statistics.median(new / old for old, new in means)
            print(f"| {step} | {name} | {before:.1f} | {after:.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
