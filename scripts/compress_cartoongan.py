"""Compress the public CartoonGAN at full width, from photographs only: 8 times fewer MACs, sized for one GPU.

Three students of equal cost see the same number of random crops: the teacher pruned by L1 and fine-tuned on the
teacher's images, the same after a refit, and the same with a discriminator added, its gradient bounded. The last lines
are a table of their distances to the teacher on held-out photographs. The same command resumes.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import torch

from gancompress.jobs.outcome import Outcome
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job

STUDENTS: dict[str, tuple[bool, float]] = {
    "cut, fine-tuned": (False, 0.0),
    "cut, refit, fine-tuned": (True, 0.0),
    "cut, refit, fine-tuned with a discriminator": (True, 1.0),
}
"""Settings by name: whether to refit the pruned network, and the weight of the adversarial term."""


def recipe(arguments: argparse.Namespace, refit: bool, adversarial: float) -> dict[str, Any]:
    size, images = arguments.size, arguments.images
    prune: dict[str, Any] = {"kind": "prune", "multiple": 4}
    if refit:
        prune["refit"] = {"num_images": arguments.refit_images, "crop_px": min(96, size)}
    finetune = {
        "kind": "finetune",
        "discriminator": {"family": "patchgan", "config": {"ndf": 32, "n_layers": 2}},
        "distillation": {
            "reconstruct": "teacher",
            "terms": [
                {"kind": "l1", "weight": 50},
                {"kind": "ssim", "weight": 5},
                {"kind": "gan", "weight": adversarial, "form": "lsgan", "real": "teacher"},
            ],
        },
        "training": {
            "num_images": images // 2,
            "num_decay_images": images - images // 2,
            "batch_size": arguments.batch,
            "precision": "bf16",
            "ema_half_life": 500,
            "optimizer": {"learning_rate": 1e-3},
            "checkpoint_every": max(1, images // 8),
            "log_every": max(1, images // 32),
            "preview_every": 0,
        },
    }
    return {
        "name": "cartoongan",
        "task": "imitate",
        "data": {
            "kind": "images",
            "root": str(arguments.photos.resolve()),
            "images": "{folder}",
            "transform": {"resize": "shorter", "load_size": size + size // 8, "crop_size": size},
            "splits": {"train": {"folder": arguments.train}, "test": {"folder": arguments.test}},
        },
        "teacher": {"checkpoint": str(arguments.teacher.resolve())},
        "budget": {"reduction": arguments.reduction},
        "steps": [prune, finetune],
        "metrics": {"against_real": [], "against_teacher": ["psnr", "ssim"]},
        "exports": [],
        "num_workers": arguments.workers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path, help="checkpoint of a CartoonGAN generator")
    parser.add_argument("photos", type=Path, help="folder with the folders of training and test photographs")
    parser.add_argument("--train", default="train/images")
    parser.add_argument("--test", default="test/images")
    parser.add_argument("--size", type=int, default=192, help="of a crop, in pixels")
    parser.add_argument("--images", type=int, default=20_000, help="that each student is trained on")
    parser.add_argument("--refit-images", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--reduction", type=float, default=8.0, help="times fewer MACs")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("runs/cartoongan"))
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    outcomes: dict[str, Outcome] = {}
    for number, (name, (refit, adversarial)) in enumerate(STUDENTS.items()):
        folder = arguments.out / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text(json.dumps(recipe(arguments, refit, adversarial)))
        outcome = Pipeline(load_job(str(folder / "recipe.yaml")), folder / "run", print).run()
        assert outcome is not None
        outcomes[name] = outcome
    print(f"\n{device}, torch {torch.__version__}, seed 0; {vars(arguments)}\n")
    print("| student | MACs, M | PSNR to the teacher, dB | SSIM to the teacher | seconds |\n|---|---|---|---|---|")
    for name, outcome in outcomes.items():
        psnr, ssim = (outcome.compressed.metrics[f"{metric}_to_teacher"].value for metric in ("psnr", "ssim"))
        seconds = sum(record["seconds"] for record in outcome.records)
        print(f"| {name} | {outcome.compressed.cost.macs.true / 1e6:,.0f} | {psnr:.2f} | {ssim:.3f} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
