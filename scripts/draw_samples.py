"""Draw a grid of networks' images of photographs, as a PNG: a row for each photograph, a column for each network.

    python scripts/draw_samples.py PHOTOS samples.png teacher=teacher.pth compressed=runs/mine --size 256x256

A network is anything that `gancompress.load` accepts, from images to images. Photographs are scaled to cover the size
and cropped at the centre. For upscalers, ``--bicubic`` adds a column of photographs enlarged to the networks' size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

import gancompress
from gancompress.report.grid import sample_grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("networks", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--size", default="256x256", metavar="HxW")
    parser.add_argument("--bicubic", action="store_true", help="also show enlarged photographs")
    given = parser.parse_args()
    height, width = map(int, given.size.split("x"))
    files = sorted(path for path in given.photos.iterdir() if path.suffix in (".jpg", ".png"))
    photos = torch.cat([_image(path, (width, height)) for path in files])
    columns = {"photograph": photos}
    for named in given.networks:
        name, _, path = named.partition("=")
        network = gancompress.load(path)
        columns[name] = torch.cat([torch.as_tensor(network(photo[None])) for photo in photos])
    if given.bicubic:
        networks = dict(list(columns.items())[1:])
        size = next(iter(networks.values())).shape[2:]
        columns = {"photograph": photos, "bicubic": F.interpolate(photos, size, mode="bicubic"), **networks}
    sample_grid(columns, given.out)


def _image(path: Path, size: tuple[int, int]) -> Tensor:
    """Return an image [1, 3, h, w], RGB in [-1, 1]."""
    image = ImageOps.fit(Image.open(path).convert("RGB"), size)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(1, size[1], size[0], 3).permute(0, 3, 1, 2) / 127.5 - 1


if __name__ == "__main__":
    main()
