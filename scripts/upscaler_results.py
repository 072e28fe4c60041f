"""Train students of an upscaler in equal time and compare them on held-out photographs: one row for each student.

The teacher's images of random crops are made once and kept in the output directory, so that every row learns from the
same ones. Each row is trained for the same processor time by `gancompress.distill`; a row that is there already is not
made again. Prints a Markdown table of the rows. Seconds are processor time, which excludes other programs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from gancompress.losses import L1, Ssim

TERMS = {"l1_ssim": (L1(100), Ssim(5)), "l1": (L1(100),)}
SIDE, TEST_SIDE, BATCH = 32, 64, 4


def crops(folder: Path, count: int, side: int, seed: int) -> Tensor:
    """Return random square crops [count, 3, side, side] in [-1, 1], one of each photograph if there are enough."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    draw = np.random.default_rng(seed)
    order = np.concatenate([draw.permutation(len(paths)) for _ in range(-(-count // len(paths)))])[:count]
    found = []
    for number in order:
        with Image.open(paths[number]) as image:
            pixels = np.array(image.convert("RGB"))
        y, x = (int(draw.integers(0, size - side + 1)) for size in pixels.shape[:2])
        found.append(torch.from_numpy(pixels[y : y + side, x : x + side].copy()).permute(2, 0, 1) / 127.5 - 1)
    return torch.stack(found)


@torch.inference_mode()
def made(network: nn.Module, images: Tensor) -> Tensor:
    """Return the images of a network [b, 3, h, w], in half precision."""
    return torch.cat([network(some).half() for some in images.split(BATCH)])


def kept_outputs(path: Path, teacher: nn.Module, images: Tensor, at_once: int = 100) -> Tensor:
    """Return the teacher's images for some inputs from a file, which is made or completed first."""
    outputs = torch.load(path) if path.is_file() else torch.zeros(0, 3, 1, 1).half()
    while len(outputs) < len(images):
        new = made(teacher, images[len(outputs) : len(outputs) + at_once])
        outputs = torch.cat([outputs, new]) if len(outputs) else new
        torch.save(outputs, path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)
        print(f"teacher: {len(outputs)} of {len(images)} crops", flush=True)
    return outputs[: len(images)]


def psnr(images: Tensor, wanted: Tensor) -> Tensor:
    """Return the PSNR in dB of each image [b, 3, h, w] in [-1, 1]."""
    errors = (images.float().clamp(-1, 1) - wanted.float().clamp(-1, 1)).square().mean((1, 2, 3))
    return 10 * torch.log10(4 / errors)


def interval(values: Tensor) -> str:
    """Return a mean with its 95 % interval over images."""
    return f"{values.mean():.2f} ± {1.96 * values.std() / len(values) ** 0.5:.2f}"
