"""Train a student by GAN Compression's own distiller and by ours: one teacher, the same pairs, images and seeds.

    python scripts/peers/drawn_pairs.py runs/pairs
    python scripts/peers/gan_compression.py CHECKOUT TEACHER runs/pairs --out runs/beside-gan-compression

CHECKOUT is a clone of mit-han-lab/gan-compression, TEACHER a saved ResNet generator such as ``teacher`` of a run, with
its discriminator in ``teacher/discriminator``. The original knows nine blocks only: a teacher of fewer gets blocks
whose last convolution is zero, behind an instance norm, which change no image; both sides learn from that network.
Rows that are finished are not repeated. Processor time is that of the training steps, on one thread.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from originals import checkout
from PIL import Image
from rows import Row, data_of, keep, kept, row, run_recipe, table
from torch import Tensor, nn

from gancompress.networks.generator import Generator
from gancompress.networks.registry import build

BLOCKS = 9
TERMS = [
    {"kind": "l1", "weight": 100},
    {"kind": "features", "weight": 1},
    {"kind": "gan", "weight": 1, "balance": None},
]
OWN_TERMS = [
    {"kind": "l1", "weight": 50},
    {"kind": "features"},
    {"kind": "ssim", "weight": 5},
    {"kind": "gan"},
]
OWN_TRAINING = {"precision": "bf16", "ema_half_life": 100, "optimizer": {"learning_rate": 2e-3}}
OURS: dict[str, dict[str, Any]] = {
    "gancompress, the original's settings": {"terms": TERMS, "training": {}},
    "gancompress, its own settings": {
        "terms": OWN_TERMS,
        "training": OWN_TRAINING,
    },
    "gancompress, its own settings and student": {
        "terms": OWN_TERMS,
        "training": OWN_TRAINING,
        "student": {
            "family": "resnet",
            "config": {
                "num_blocks": 4, "separable": True, "ngf": 16, "stem_kernel": 3, "tail_kernel": 3, "tail": "half_size",
                "padding": "zeros", "norm": "batch", "separable_norm": "batch",
            },
        },
    },
}  # fmt: skip
THEIRS = "GAN Compression, its own distiller"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--student", type=int, default=8, help="base width of the separable student")
    given = parser.parse_args()
    torch.set_num_threads(1)
    teacher = nine_blocks(Generator.load(given.teacher))
    discriminator = Generator.load(given.teacher / "discriminator")
    images, targets = pairs_of(given.pairs / "test")
    file = given.out / "rows.json"
    found = kept(file)
    for seed in map(int, given.seeds.split(",")):
        methods: dict[str, Callable[[], tuple[nn.Module, int, float]]] = {
            THEIRS: functools.partial(distilled_by_the_original, given, teacher, discriminator, seed),
            **{
                name: lambda n=name, s=seed: ours(given, teacher, discriminator, s, n, budget(found, s))
                for name in OURS
            },
        }
        for name, train in methods.items():
            if any((each.name, each.seed) == (name, seed) for each in found):
                continue
            network, *trained = train()
            found.append(row(name, seed, network, teacher.build(), images, targets, (trained[0], trained[1])))
            keep(file, found)
    print(f"{torch.get_num_threads()} thread, torch {torch.__version__}; {vars(given)}\n\n{table(found)}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every comparison with this original."""
    parser.add_argument("checkout", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("pairs", type=Path, help="folder with train, val and test, as the original reads them")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--passes", type=int, default=4, help="over the training pairs; the rate falls in half of them")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of the original's settings")
    parser.add_argument("--seeds", default="0")


def budget(rows: Sequence[Row], seed: int) -> int:
    """Return the MACs of the original's student with a seed."""
    return next(each.macs for each in rows if (each.name, each.seed) == (THEIRS, seed))


def nine_blocks(teacher: Generator) -> Generator:
    """Return a ResNet generator with as many blocks as the original expects, which makes the same images.

    An instance norm of zeros is zero, so that a block whose second convolution is zero adds nothing.
    """
    stem = teacher.build().stem.conv
    config = {"in_channels": stem.in_channels, "ngf": stem.out_channels}
    network = build("resnet_9blocks", config)
    weights = network.state_dict()
    for name in weights:
        if name.startswith("blocks.") and ".conv2." in name:
            weights[name] = torch.zeros_like(weights[name])
    network.load_state_dict({**weights, **teacher.build().state_dict()})
    return Generator.from_module(network, "resnet_9blocks", config)


def pairs_of(folder: Path) -> tuple[Tensor, Tensor]:
    """Return inputs and targets [n, 3, h, w] of a folder of pairs side by side."""
    found = [torch.from_numpy(np.array(Image.open(path).convert("RGB"))) for path in sorted(folder.iterdir())]
    pairs = torch.stack(found).permute(0, 3, 1, 2) / 127.5 - 1
    return pairs.chunk(2, dim=3)


def distilled_by_the_original(
    given: argparse.Namespace, teacher: Generator, discriminator: Generator, seed: int
) -> tuple[nn.Module, int, float]:
    """Train a student by the original's distiller; return it, the images and the seconds."""
    options = {
        "--student_netG": "mobile_resnet_9blocks",
        "--student_ngf": given.student,
        "--pretrained_ngf": given.student,
    }
    return original(given, teacher, discriminator, seed, "distill", options)


def original(
    given: argparse.Namespace,
    teacher: Generator,
    discriminator: Generator,
    seed: int,
    task: Literal["distill", "supernet"],
    student: Mapping[str, Any],
    finish: Callable[[nn.Module], nn.Module] = lambda network: network,
) -> tuple[nn.Module, int, float]:
    """Train by the original's `Trainer`; return the student, the images and the seconds.

    Args:
        given: Checkout, pairs and lengths.
        teacher: The teacher, a ResNet generator of nine blocks.
        discriminator: Its discriminator.
        seed: Seed of the training.
        task: Task of the trainer.
        student: Options of the command line for the student.
        finish: Function of the trained student whose result is returned, called while the original can still run it.
    """
    work = (given.out / "original" / f"{task}-{seed}").resolve()
    shutil.rmtree(work, ignore_errors=True)
    side, half = Image.open(next((given.pairs / "test").iterdir())).height, given.passes // 2
    options: dict[str, Any] = {
        "--dataroot": given.pairs.resolve(), "--gpu_ids": -1, "--seed": seed, "--batch_size": given.batch,
        "--load_size": side, "--crop_size": side, "--num_threads": 0, "--lr": given.rate, "--log_dir": work / "log",
        "--nepochs": given.passes - half, "--nepochs_decay": half, "--save_epoch_freq": 10**6, "--print_freq": 10**6,
        "--teacher_netG": "resnet_9blocks", "--teacher_ngf": width(teacher), "--ndf": width(discriminator),
        "--restore_teacher_G_path": work / "teacher.pth", "--restore_D_path": work / "discriminator.pth",
        "--real_stat_path": work / "unused.npz", **student,
    }  # fmt: skip
    command = [str(part) for option in options.items() for part in option]
    command += ["--no_fid", "--no_flip", "--load_in_memory"]
    work.mkdir(parents=True)
    np.savez(work / "unused.npz", mu=np.zeros(1), sigma=np.zeros(1))
    metrics = {"metric": {"create_metric_models": lambda *_, **__: (None, None, None)}}
    with (
        checkout(given.checkout.resolve(), work, command, metrics),
        (work / "said.txt").open("w") as said,
        redirect_stdout(said),
        redirect_stderr(said),
    ):
        from distillers import resnet_distiller  # pyright: ignore[reportMissingImports]
        from models import networks  # pyright: ignore[reportMissingImports]
        from supernets import resnet_supernet  # pyright: ignore[reportMissingImports]
        from trainer import Trainer  # pyright: ignore[reportMissingImports]

        on_one_device(resnet_distiller, resnet_supernet)
        for each in (resnet_distiller.ResnetDistiller, resnet_supernet.ResnetSupernet):
            each.evaluate_model = lambda self, step: {}
        norm = {"norm": "instance"}
        wide = networks.define_G("resnet_9blocks", input_nc=3, output_nc=3, ngf=width(teacher), **norm)
        critic = networks.define_D(
            "n_layers", input_nc=6, ndf=width(discriminator), n_layers_D=3, init_gain=0.02, **norm
        )
        for theirs, own, name in ((wide, teacher, "teacher.pth"), (critic, discriminator, "discriminator.pth")):
            theirs.load_state_dict(dict(zip(theirs.state_dict(), own.build().state_dict().values(), strict=True)))
            torch.save(theirs.state_dict(), work / name)
        trainer = Trainer(task)
        trainer.model.gpu_ids = [0]  # its terms on feature maps ask for the first of them
        began = time.process_time()
        trainer.start()
        seconds = time.process_time() - began
        network = finish(trainer.model.netG_student)
    return network, given.passes * len(trainer.dataloader.dataset), seconds


def on_one_device(*modules: Any) -> None:
    """Replace the functions that spread feature maps over GPUs by their meaning on one device."""
    for module in modules:
        module.replicate = lambda network, devices: [network]
        module.parallel_apply = lambda networks, given, options=None: [
            network(each, **(options[0] if options else {})) for network, each in zip(networks, given, strict=True)
        ]
        module.gather = lambda losses, device: torch.stack(losses)


def width(network: Generator) -> int:
    """Return the base width of a network: the filters of its first convolution."""
    return next(each for each in network.build().modules() if isinstance(each, nn.Conv2d)).out_channels


def ours(
    given: argparse.Namespace, teacher: Generator, discriminator: Generator, seed: int, name: str, macs: int
) -> tuple[nn.Module, int, float]:
    """Train a student by a recipe; return it, the images and the seconds."""
    folder = given.out / "ours" / f"{list(OURS).index(name)}-{seed}"
    separable = {"family": "mobile_resnet_9blocks", "config": {"ngf": given.student}}
    step = {
        "kind": "distill", "initial": "random", "student": OURS[name].get("student", separable),
        **({"multiple": 4} if "student" in OURS[name] else {"keep": 1.0}),
        "distillation": {"terms": OURS[name]["terms"]},
    }  # fmt: skip
    recipe, images = recipe_of(given, folder, teacher, discriminator, seed, step, OURS[name]["training"])
    network, seconds = run_recipe({**recipe, "budget": {"macs": macs}}, folder)
    return network, images, images * seconds


def recipe_of(
    given: argparse.Namespace,
    folder: Path,
    teacher: Generator,
    discriminator: Generator,
    seed: int,
    step: Mapping[str, Any],
    training: Mapping[str, Any],
) -> tuple[dict[str, Any], int]:
    """Return a recipe of one step of training on the pairs, and its number of images.

    Args:
        given: Pairs and lengths.
        folder: Folder for the run and its teacher; what it holds is removed.
        teacher: The teacher.
        discriminator: Its discriminator.
        seed: Seed of the run.
        step: The step without its training.
        training: Options of the training in which it differs from the original's settings.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    teacher.save(folder / "given")
    discriminator.save(folder / "given-discriminator")
    files = list((given.pairs / "train").iterdir())
    images, side = given.passes * len(files), Image.open(files[0]).height
    lengths = {
        "num_images": images - images // 2, "num_decay_images": images // 2, "batch_size": given.batch,
        "optimizer": {"learning_rate": given.rate}, "checkpoint_every": 10**6, "log_every": 1000, "preview_every": 0,
    }  # fmt: skip
    recipe = {
        "name": "ours", "task": "paired", "seed": seed,
        "data": data_of(given.pairs, side),
        "teacher": {
            "checkpoint": str((folder / "given").resolve()),
            "discriminator": str((folder / "given-discriminator").resolve()),
        },
        "steps": [{**step, "training": {**lengths, **training}}],
        "metrics": {"against_real": [], "against_teacher": ["psnr"], "max_images": 4}, "exports": [],
    }  # fmt: skip
    return recipe, images


if __name__ == "__main__":
    main()
