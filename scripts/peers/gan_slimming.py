"""Slim a generator by GAN Slimming's own loop and by ours: one teacher, the same inputs, images and seeds.

    python scripts/peers/drawn_pairs.py runs/pairs
    python scripts/peers/gan_slimming.py CHECKOUT TEACHER runs/pairs --out runs/beside-gan-slimming

CHECKOUT is a clone of VITA-Group/GAN-Slimming, TEACHER a saved ResNet generator such as ``teacher`` of a run. The
original's programs run as they are: ``gs.py``, ``extract_subnet.py``, ``finetune.py``, with their option ``--lc mse``,
because its perceptual loss needs weights of VGG. Its sparsity comes from ``--rho``; our rows get the MACs that it came
to as their budget. It leaves residual streams at full width; one of our rows does so, too. Rows that are finished are
not repeated. Processor time is that of the two training programs, without their drawing, on one thread.
"""

from __future__ import annotations

import argparse
import functools
import random
import runpy
import shutil
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gan_compression import pairs_of
from originals import checkout
from PIL import Image
from rows import data_of, keep, kept, outputs, row, run_recipe, table
from torch import Tensor, nn

from gancompress.networks.generator import Generator

THEIRS = "GAN Slimming, its own programs"
RELEASED_NGF, LAST = 64, 199  # the width of the released network, and the epoch in the names of its files
OURS: dict[str, dict[str, Any]] = {
    "gancompress, the original's settings": {
        "slim": {"streams": False, "scale_learning_rate": 0.1, "scale_momentum": 0.5},
        "discriminator": {"family": "patchgan", "config": {"ndf": 64, "affine": True, "global_average": True}},
        "terms": [{"kind": "l2", "weight": 20}, {"kind": "gan", "form": "lsgan", "real": "teacher", "balance": None}],
        "training": {},
    },
    "gancompress, its own settings": {
        "slim": {"streams": True, "scale_learning_rate": 1e-3, "penalty": 1},
        "discriminator": {"family": "patchgan", "config": {"ndf": 16}},
        "terms": [
            {"kind": "l1", "weight": 50},
            {"kind": "ssim", "weight": 5},
            {"kind": "gan", "form": "lsgan", "real": "teacher"},
        ],
        "training": {"precision": "bf16", "optimizer": {"learning_rate": 2e-3}, "decay": "linear"},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument(
        "pairs", type=Path, help="folder with train, val and test; of a pair the left half is the input"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--passes", type=int, default=2, help="over the inputs, in each of the two programs")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2e-4, help="learning rate of the weights, original's settings")
    parser.add_argument("--rho", type=float, default=0.05, help="weight of the original's penalty")
    parser.add_argument("--seeds", default="0")
    given = parser.parse_args()
    torch.set_num_threads(1)
    teacher = Generator.load(given.teacher)
    wide = teacher.build()
    held_out, _ = pairs_of(given.pairs / "test")
    file = given.out / "rows.json"
    found = kept(file)
    for seed in map(int, given.seeds.split(",")):
        methods: dict[str, Callable[[], tuple[nn.Module, int, float]]] = {
            THEIRS: functools.partial(original, given, wide, seed),
            **{
                name: lambda name=name, seed=seed: ours(given, teacher, seed, name, budget(found, seed))
                for name in OURS
            },
        }
        for name, train in methods.items():
            if any((each.name, each.seed) == (name, seed) for each in found):
                continue
            network, images, seconds = train()
            found.append(row(name, seed, network, wide, held_out, None, (images, seconds)))
            keep(file, found)
    print(f"{torch.get_num_threads()} thread, torch {torch.__version__}; {vars(given)}\n\n{table(found)}")


def budget(rows: list[Any], seed: int) -> int:
    """Return the MACs that the original came to with a seed."""
    return next(each.macs for each in rows if (each.name, each.seed) == (THEIRS, seed))


def original(given: argparse.Namespace, teacher: nn.Module, seed: int) -> tuple[nn.Module, int, float]:
    """Run the original's three programs; return the narrow network, the images and the seconds."""
    work = (given.out / "original" / str(seed)).resolve()
    shutil.rmtree(work, ignore_errors=True)
    inputs, _ = pairs_of(given.pairs / "train")
    write_data(work, inputs, outputs(teacher, inputs))
    shared = {"--batch_size": given.batch, "--epochs": given.passes, "--lc": "mse", "--size": inputs.shape[-1]}
    root = given.checkout.resolve()
    fid = {"utils.fid_score": {"calculate_fid_given_paths": lambda *_: 0.0}}

    def program(name: str, options: dict[str, Any]) -> tuple[dict[str, Any], float]:
        command = [str(part) for option in options.items() for part in option]
        with (
            checkout(root, work, command, fid),
            (work / "said.txt").open("a") as said,
            redirect_stdout(said),
            redirect_stderr(said),
        ):
            narrowed_as(teacher)
            if name == "gs.py":
                write_weights(work, teacher)
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            began = time.process_time()
            names = runpy.run_path(str(root / name), run_name="__main__")
            return names, time.process_time() - began

    slimmed, first = program("gs.py", {**shared, "--lrw": given.rate, "--rho": given.rho})
    name = Path(slimmed["results_dir"]).name
    program("extract_subnet.py", {"--epoch": given.passes - 1, "--model_str": name})
    narrow = work / "subnet_structures" / "horse2zebra" / "A2B" / name / "pth"
    for end in ("npy", "pth"):
        (narrow / f"epoch{given.passes - 1}_netG.{end}").rename(narrow / f"epoch{LAST}_netG.{end}")
    tuned, second = program("finetune.py", {**shared, "--lr": given.rate, "--base_model_str": name})
    return tuned["netG"], 2 * given.passes * (len(inputs) // given.batch * given.batch), first + second


def write_data(work: Path, inputs: Tensor, wanted: Tensor) -> None:
    """Write inputs and the teacher's images where the original reads them. A name may end in jpg whatever it holds."""
    data = work / "datasets" / "horse2zebra"
    folders = [data / "train" / "A", work / "train_set_result" / "horse2zebra" / "B", data / "test" / "A"]
    for folder in folders:
        folder.mkdir(parents=True)
    for number, (image, target) in enumerate(zip(inputs, wanted, strict=True)):
        for tensor, path in ((image, folders[0] / f"{number:05d}.jpg"), (target, folders[1] / f"{number:05d}.png")):
            pixels = ((tensor + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(path, format="png")
    shutil.copy(folders[0] / "00000.jpg", folders[2])


def narrowed_as(teacher: nn.Module) -> None:
    """Make the original build its generator with the teacher's width and number of blocks."""
    from models import models  # pyright: ignore[reportMissingImports]

    built, factor, blocks = (
        models.Generator.__init__,
        teacher.stem.conv.out_channels / RELEASED_NGF,
        len(teacher.blocks),
    )

    def build(self: Any, inputs: int, outputs: int, dim_lst: Any = None, quant: bool = False) -> None:
        widths = None if dim_lst is None else (np.asarray(dim_lst) / factor).tolist()  # it multiplies given widths, too
        built(self, inputs, outputs, n_residual_blocks=blocks, dim_lst=widths, alpha=factor, quant=quant)

    models.Generator.__init__ = build


def write_weights(work: Path, teacher: nn.Module) -> None:
    """Write the teacher's weights, and a fresh discriminator, as the original's pretrained networks."""
    from models import models  # pyright: ignore[reportMissingImports]

    networks = {"netG_A2B": models.Generator(3, 3), "netD_B": models.Discriminator(3)}
    convolutions = [
        [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.ConvTranspose2d)]
        for network in (networks["netG_A2B"], teacher)
    ]
    for theirs, own in zip(*convolutions, strict=True):
        theirs.load_state_dict(own.state_dict())
    folder = work / "pretrained_dense_model" / "horse2zebra" / "pth"
    folder.mkdir(parents=True)
    for name, network in networks.items():
        torch.save(network.state_dict(), folder / f"{name}_epoch_{LAST}.pth")


def ours(
    given: argparse.Namespace, teacher: Generator, seed: int, name: str, macs: int
) -> tuple[nn.Module, int, float]:
    """Slim and fine-tune by a recipe; return the narrow network, the images and the seconds."""
    folder = (given.out / "ours" / f"{list(OURS).index(name)}-{seed}").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    teacher.save(folder / "given")
    settings, files = OURS[name], list((given.pairs / "train").iterdir())
    images, side = given.passes * len(files), Image.open(files[0]).height
    training = {
        "num_images": 1, "num_decay_images": images - 1, "decay": "cosine", "batch_size": given.batch,
        "optimizer": {"learning_rate": given.rate, "weight_decay": 1e-3}, "checkpoint_every": 10**6,
        "log_every": 1000, "preview_every": 0, **settings["training"],
    }  # fmt: skip
    shared = {
        "discriminator": settings["discriminator"], "training": training,
        "distillation": {"reconstruct": "teacher", "terms": settings["terms"]},
    }  # fmt: skip
    recipe = {
        "name": "ours", "task": "paired", "seed": seed,
        "data": data_of(given.pairs, side),
        "teacher": {"checkpoint": str(folder / "given")},
        "budget": {"macs": macs},
        "steps": [
            {"kind": "slim", "adjust_every": 20, "remove_every": 100, **settings["slim"], **shared},
            {"kind": "finetune", **shared},
        ],
        "metrics": {"against_real": [], "against_teacher": ["psnr"], "max_images": 4}, "exports": [],
    }  # fmt: skip
    network, seconds = run_recipe(recipe, folder)
    return network, 2 * images, 2 * images * seconds


if __name__ == "__main__":
    main()
