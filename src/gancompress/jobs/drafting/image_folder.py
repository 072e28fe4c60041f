"""Folder of images: number, sizes and modes, and splits that held-out images never leave."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gancompress.data.decoding import BrokenImage, Decoding, decode_image, opened, upright_size
from gancompress.data.records import FileSet, places_of, some
from gancompress.data.storage import File, open_storage
from gancompress.errors import DataError
from gancompress.io.pictures import to_channels, to_standard

SPLITS = ("train", "search", "test")
_HELD_OUT = 0.1
"""Share of the images of each of ``search`` and ``test``."""
_MANY = 200
"""Number of images from which shares are met on average, so that no image changes sides when others are added."""
_THREADS = 4


class _Header(NamedTuple):
    name: str
    size: tuple[int, int]
    mode: str


@dataclass(frozen=True)
class ImageFolder:
    """Images of a folder.

    Attributes:
        path: The folder, or a zip.
        sizes: Height and width of each image by its name, upright.
        modes: Number of images by mode of the file (RGB, L, ...).
    """

    path: str
    sizes: Mapping[str, tuple[int, int]]
    modes: Mapping[str, int]

    @classmethod
    def read(cls, path: str, channels: int) -> ImageFolder:
        """Read a folder and decode every image once, so that a broken one is found before training.

        Args:
            path: The folder, or a zip.
            channels: Channels that the images are converted to.

        Raises:
            DataError: There are fewer than three images, or some cannot be read.
        """
        files = _files(path)
        with ThreadPoolExecutor(_THREADS) as pool:
            results = list(pool.map(lambda item: _header(item, channels), files.items()))
        broken = [str(each) for each in results if isinstance(each, BrokenImage)]
        if broken:
            raise DataError(
                f"{path}: got {len(broken)} of {len(files)} images that cannot be read ({broken[0]}), expected none; "
                "repair or remove them"
            )
        headers = [each for each in results if isinstance(each, _Header)]
        if len(headers) < len(SPLITS):
            raise DataError(
                f"{path}: got {len(headers)} images, expected at least {len(SPLITS)}: some to train on, some to "
                "compare networks on, some to report"
            )
        modes = Counter(each.mode for each in headers)
        return cls(path, {each.name: each.size for each in headers}, dict(modes.most_common()))

    @property
    def smallest(self) -> tuple[int, int]:
        """Smallest height and smallest width."""
        return min(height for height, _ in self.sizes.values()), min(width for _, width in self.sizes.values())

    @property
    def usual(self) -> tuple[int, int]:
        """Most frequent height and width."""
        return Counter(self.sizes.values()).most_common(1)[0][0]

    def smaller_than(self, size: tuple[int, int]) -> list[str]:
        """Return the names of images with a side below that of a size."""
        return [name for name, (height, width) in self.sizes.items() if height < size[0] or width < size[1]]

    @property
    def splits(self) -> dict[str, dict[str, Any]]:
        """Splits in a recipe, by the hash of the names; folders of few images have exact shares and no empty split."""
        count = len(self.sizes)
        if count >= _MANY:
            edges = [0.0, 1 - 2 * _HELD_OUT, 1 - _HELD_OUT, 1.0]
            return {split: {"fraction": list(limits)} for split, limits in zip(SPLITS, pairwise(edges), strict=True)}
        held = max(1, round(_HELD_OUT * count))
        edges = [0.0, *(math.ceil(1e6 * number / count) / 1e6 for number in (count - 2 * held, count - held)), 1.0]
        limits = zip(SPLITS, pairwise(edges), strict=True)
        return {split: {"fraction": list(each), "exact": True} for split, each in limits}

    def names(self, split: str) -> list[str]:
        """Return the names of the images of a split."""
        options = self.splits[split]
        low, high = options["fraction"]
        places = places_of(list(self.sizes), options.get("exact", False))
        return [name for name, place in zip(self.sizes, places, strict=True) if low <= place < high]

    def counts(self) -> dict[str, int]:
        """Return the number of images of each split."""
        return {split: len(self.names(split)) for split in SPLITS}

    def crops(self, count: int, size: tuple[int, int], channels: int) -> Tensor:
        """Return the centres of the first training images, [b, c, h, w] in [-1, 1].

        Args:
            count: Number of images; fewer if there are not as many.
            size: Height and width, at most those of `smallest`.
            channels: Channels of the images.
        """
        files = _files(self.path)
        return torch.stack([_centre(files[name], size, channels) for name in self.names("train")[:count]])

    def lines(self) -> list[str]:
        """Describe the folder, for the user."""
        height, width = self.usual
        same = len(set(self.sizes.values())) == 1
        sizes = (
            f"{height}x{width}" if same else f"mostly {height}x{width}, at least {'x'.join(map(str, self.smallest))}"
        )
        modes = "" if set(self.modes) == {"RGB"} else "; " + ", ".join(f"{n} {mode}" for mode, n in self.modes.items())
        counts = self.counts()
        return [
            f"images: {len(self.sizes):,} of {sizes} (height x width){modes}",
            f"  train {counts['train']:,}, search {counts['search']:,}, test {counts['test']:,}, held out by the "
            "hash of their names",
        ]


def check_no_smaller(folder: ImageFolder, size: tuple[int, int], why: str) -> None:
    """Raise DataError if an image is smaller than a size."""
    small = folder.smaller_than(size)
    if small:
        height, width = folder.sizes[small[0]]
        raise DataError(
            f"{folder.path}: got {some(small)} smaller than {size[0]}x{size[1]} (height x width; {small[0]} has "
            f"{height}x{width}), expected at least that, {why}; remove or enlarge them"
        )


def _files(path: str) -> dict[str, File]:
    return FileSet(open_storage(Path(path))).by_stem()


def _header(item: tuple[str, File], channels: int) -> _Header | BrokenImage:
    """Decode an image at an eighth of its size, or as large as its format wants; return its size and mode."""
    name, file = item
    decoding = Decoding(channels=channels)
    try:
        with opened(file, decoding) as image:
            size, mode = upright_size(image), image.mode
            image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
            to_channels(image, channels, file.where)
            return _Header(name, size, mode)
    except BrokenImage as error:
        return error


def _centre(file: File, size: tuple[int, int], channels: int) -> Tensor:
    image = decode_image(file, Decoding(channels=channels)).image
    top, left = (image.height - size[0]) // 2, (image.width - size[1]) // 2
    return to_standard(image.crop((left, top, left + size[1], top + size[0])))
