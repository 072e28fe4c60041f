"""Photographs that scripts learn from and measure on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


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
