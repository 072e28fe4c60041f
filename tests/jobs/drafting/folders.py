"""Folders of small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def pictures(folder: Path, count: int, size: tuple[int, int] = (40, 48), mode: str = "RGB") -> Path:
    """Write noisy gradients; size is height and width."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    slope = np.linspace(0, 200, size[1], dtype=np.float64)[None, :, None]
    for number in range(count):
        pixels = (slope + 40 * draw.random((*size, 3))).astype(np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{number:03d}.png")
    return folder
