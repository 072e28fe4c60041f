"""Benchmark slimming: the speed of a step as channels die, and the cost that is reached for each budget.

A CartoonGAN or ResNet generator is slimmed on drawn images, for a few budgets in one unit after another. Each line of
the first table is a stretch between two removals of dead channels: the cost of the network then, and the speed of
training. The second table has the requested and the reached cost of each budget. Timings of one run on a shared machine
are noisy; only the trend counts.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from pathlib import Path

import torch

from gancompress.jobs.outcome import Outcome
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.methods.loss_records import read_losses
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build

BUDGETS = {
    "4x fewer MACs": {"reduction": 4},
    "8x fewer parameters": {"reduction": 8, "unit": "parameters"},
    "32x fewer bytes, 8 bits": {"reduction": 32, "unit": "bytes"},
}


def slim(family: str, width: int, budget: str, images: int, size: int) -> Outcome:
    with tempfile.TemporaryDirectory() as name:
        folder, config = Path(name), {"ngf": width}
        torch.manual_seed(0)
        Generator.from_module(build(family, config), family, config).save(folder / "teacher")
        step = {
            "kind": "slim",
            "streams": True,
            "penalty": 1.0,
            "scale_learning_rate": 1e-3,
            "adjust_every": 16,
            "remove_every": images // 12,
            "discriminator": {"family": "patchgan", "config": {"ndf": 8, "n_layers": 2}},
            "distillation": {"terms": [{"kind": "l1", "weight": 10}, {"kind": "gan"}], "reconstruct": "teacher"},
            "training": {"num_images": images, "batch_size": 4, "log_every": images // 12, "preview_every": 0},
            **({"quantization": {"ranges": "minmax"}} if "bits" in budget else {}),
        }
        recipe = {
            "name": "benchmark",
            "task": "paired",
            "data": {
                "kind": "procedural",
                "image_size": size,
                "num_images": {"train": 64, "search": 1, "test": 4},
            },
            "teacher": {"checkpoint": str(folder / "teacher")},
            "budget": BUDGETS[budget],
            "steps": [step],
            "exports": [],
        }
        (folder / "recipe.yaml").write_text(json.dumps(recipe))
        run = Pipeline(load_job(str(folder / "recipe.yaml")), folder / "run", lambda _: None)
        outcome = run.run()
        assert outcome is not None
        print_speed(outcome, budget)
        return outcome


def print_speed(outcome: Outcome, budget: str) -> None:
    record = outcome.records[-1]
    lines = read_losses(outcome.directory / "steps" / record["directory"])
    print(f"\n{budget}:\n\n| images | cost of the network | images per second |\n|---|---|---|")
    for line in lines:
        costs = [removal["cost"] for removal in record["removals"] if removal["num_images"] < line["num_images"]]
        cost = f"{costs[-1]:,.0f}" if costs else "full"
        print(f"| {line['num_images']:,} | {cost} | {line['images_per_second']:.1f} |", flush=True)


def reached(outcome: Outcome, budget: str) -> tuple[float, float]:
    """Return the requested and the reached cost."""
    options, unit = BUDGETS[budget], BUDGETS[budget].get("unit", "macs")
    before, after = (
        {"macs": each.cost.macs.true, "parameters": each.cost.parameters, "bytes": each.weight_bytes}[unit]
        for each in (outcome.teacher, outcome.compressed)
    )
    return before / float(options["reduction"]), after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="resnet_6blocks")
    parser.add_argument("--width", type=int, default=32, help="ngf")
    parser.add_argument("--size", type=int, default=64, help="of an image, in pixels")
    parser.add_argument("--images", type=int, default=960)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; {vars(arguments)}")
    rows = []
    for budget in BUDGETS:
        outcome = slim(arguments.family, arguments.width, budget, arguments.images, arguments.size)
        rows.append((budget, *reached(outcome, budget)))
    print("\n| budget | asked for | came out | difference |\n|---|---|---|---|")
    for budget, limit, cost in rows:
        print(f"| {budget} | {limit:,.0f} | {cost:,.0f} | {100 * (cost / limit - 1):+.2f} % |")


if __name__ == "__main__":
    main()
