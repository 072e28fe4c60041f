"""Small images on disk, each different from the others and known in closed form."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WHOLE = {"train": {"folder": "train"}}
"""Splits: one, which takes all of its folder."""


def pixels(number: int, height: int = 12, width: int = 16) -> NDArray[np.uint8]:
    """An RGB image [h, w, 3] that tells its number."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, image: NDArray[np.generic] | Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path, **options)
    return path


def save_many(folder: Path, count: int, suffix: str = ".png", first: int = 0, **size: int) -> Path:
    for number in range(count):
        save(folder / f"img{number}{suffix}", pixels(first + number, **size))
    return folder


def as_zip(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def as_tar(path: Path, files: Mapping[str, Path]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, file in files.items():
            archive.add(file, name)
    return path
