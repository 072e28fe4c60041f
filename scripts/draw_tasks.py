"""Draw what an original and its compressed network make of drawn label maps, noise or mel arrays, as a PNG.

    python scripts/draw_tasks.py labels labels.png runs/camvid/teacher runs/camvid
    python scripts/draw_tasks.py noise noise.png runs/digits/teacher runs/digits
    python scripts/draw_tasks.py sounds sounds.png runs/vocoder/teacher runs/vocoder --inputs mels

Networks are directories that gancompress wrote. ``labels`` draws street scenes of CamVid's classes itself; ``sounds``
takes the first arrays of a folder, and a class of their own must be importable: run it beside ``vocoder.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional

from gancompress.networks.generator import Generator
from gancompress.report.grid import sample_grid

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, CAR, PERSON = 0, 1, 2, 3, 4, 5, 8, 9
_DRAWN = {SKY: (128, 128, 128), BUILDING: (128, 0, 0), POLE: (192, 192, 128), ROAD: (128, 64, 128)}
_DRAWN |= {PAVEMENT: (60, 40, 222), TREE: (128, 128, 0), CAR: (64, 0, 128), PERSON: (64, 64, 0)}
COLOURS = torch.tensor([_DRAWN.get(label, (0, 0, 0)) for label in range(11)])
NUM_CHANNELS, WIDTH, HEIGHT, FINER = 12, 64, 48, 8
SCENES = (
    {"left": True, "right": True, "trees": [(51, 16, 7)], "cars": [(43, 33, 6), (24, 28, 3)], "pole": 10, "person": 7},
    {"right": True, "trees": [(8, 15, 10), (19, 18, 5)], "cars": [(46, 34, 7), (33, 27, 2.5)]},
    {"left": True, "trees": [(56, 14, 9)], "cars": [(16, 34, 7)], "pole": 47, "person": 52},
    {"left": True, "right": True, "trees": [(4, 13, 7), (60, 16, 7)], "cars": [(38, 30, 4.5), (24, 29, 4)], "pole": 53},
)
"""Buildings at either side; trees and cars as (x, y, radius); a pole and a person by their x."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["labels", "noise", "sounds"])
    parser.add_argument("out", type=Path)
    parser.add_argument("networks", nargs=2, type=Path, metavar="NETWORK", help="the original, then the compressed one")
    parser.add_argument("--inputs", type=Path, help="folder of mel arrays")
    given = parser.parse_args()
    pair = [Generator.load(path, trust=True).build().eval() for path in given.networks]
    with torch.inference_mode():
        if given.kind == "labels":
            draw_labels(pair, given.out)
        elif given.kind == "noise":
            draw_noise(pair, given.out)
        else:
            draw_sounds(pair, given.inputs, given.out)


def draw_labels(pair: list[nn.Module], out: Path) -> None:
    """Draw label maps and the photographs of both networks, a row for each scene."""
    labels = torch.stack([scene(**each) for each in SCENES])
    shown = COLOURS[labels].permute(0, 3, 1, 2) / 127.5 - 1
    channels = functional.one_hot(labels, NUM_CHANNELS).permute(0, 3, 1, 2).float()
    sample_grid({"label map": shown, "original": pair[0](channels), "compressed": pair[1](channels)}, out)


def scene(left: bool = False, right: bool = False, trees=(), cars=(), pole=None, person=None) -> Tensor:
    """Return a label map [48, 64] of a street that leads to the middle of the picture."""
    image = Image.new("L", (WIDTH * FINER, HEIGHT * FINER), SKY)
    draw = ImageDraw.Draw(image)

    def points(*pairs: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * FINER, y * FINER) for x, y in pairs]

    if left:
        draw.polygon(points((0, 2), (18, 15), (23, 21), (23, 26), (0, 36)), fill=BUILDING)
    if right:
        draw.polygon(points((64, 0), (48, 13), (42, 20), (42, 26), (64, 36)), fill=BUILDING)
    draw.rectangle(points((20, 22), (44, 27)), fill=TREE)
    draw.polygon(points((0, 30), (24, 25), (40, 25), (64, 30), (64, 48), (0, 48)), fill=PAVEMENT)
    draw.polygon(points((26, 25), (38, 25), (66, 44), (66, 48), (-2, 48), (-2, 44)), fill=ROAD)
    for x, y, r in trees:
        draw.rectangle(points((x - 0.7, y), (x + 0.7, y + 1.6 * r)), fill=TREE)
        draw.ellipse(points((x - r, y - r), (x + r, y + r)), fill=TREE)
    for x, y, r in cars:
        draw.rounded_rectangle(points((x - r, y - 0.6 * r), (x + r, y + 0.6 * r)), 0.3 * r * FINER, fill=CAR)
        draw.rounded_rectangle(points((x - 0.7 * r, y - 1.1 * r), (x + 0.7 * r, y)), 0.3 * r * FINER, fill=CAR)
    if pole is not None:
        draw.rectangle(points((pole - 0.5, 8), (pole + 0.5, 33)), fill=POLE)
    if person is not None:
        draw.ellipse(points((person - 1.5, 28), (person + 1.5, 31)), fill=PERSON)
        draw.rectangle(points((person - 2.2, 31), (person + 2.2, 38)), fill=PERSON)
    return torch.from_numpy(np.asarray(image)[FINER // 2 :: FINER, FINER // 2 :: FINER].astype(np.int64))


def draw_noise(pair: list[nn.Module], out: Path, per_row: int = 8) -> None:
    """Draw images of the same noise: a row of the original's, below it one of the compressed network's."""
    noise = torch.randn(2 * per_row, pair[0].latent_size, generator=torch.Generator().manual_seed(7))
    made = [network(noise).chunk(2) for network in pair]
    rows = ["original", "compressed"] * 2
    images = torch.stack([made[0][0], made[1][0], made[0][1], made[1][1]])
    sample_grid({" " * number: images[:, number] for number in range(per_row)}, out, rows)


def draw_sounds(pair: list[nn.Module], folder: Path, out: Path, count: int = 3) -> None:
    """Draw mel arrays, and those of the sounds that both networks make of them, a row for each array."""
    from vocoder import log_mels

    mels = torch.stack([torch.from_numpy(np.load(path)) for path in sorted(folder.glob("*.npy"))[-count:]])
    columns = [mels, *(log_mels(network(mels)[:, 0])[..., : mels.shape[-1]] for network in pair)]
    names = ("mel array", "original's sound", "compressed")
    sample_grid({name: picture(each, mels) for name, each in zip(names, columns, strict=True)}, out)


def picture(values: Tensor, scale: Tensor) -> Tensor:
    """Return arrays [b, bands, frames] as images [b, 3, 120, 144] in [-1, 1], low frequencies at the bottom.

    Args:
        values: The arrays.
        scale: Arrays whose smallest and largest values become the darkest and the brightest colour.
    """
    low, high = scale.amin((1, 2), keepdim=True), scale.amax((1, 2), keepdim=True)
    level = ((values - low) / (high - low)).clamp(0, 1)[:, None].flip(2)
    level = functional.interpolate(level, (120, 144), mode="bilinear")
    dark, bright = (torch.tensor(each).view(3, 1, 1) for each in ([0.05, 0.05, 0.25], [1.0, 0.95, 0.6]))
    return (dark + level * (bright - dark)) * 2 - 1


if __name__ == "__main__":
    main()
