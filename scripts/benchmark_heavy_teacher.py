"""Measure a student's steps while a slow teacher's outputs are made, and once they are kept on disk.

The student is the teacher cut to a fraction of its channels. Each photograph gives a few random crops; in the first
epochs the teacher runs, in the later ones its outputs are read. Also prints what rounding the kept images costs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import gancompress as gc
from gancompress.data import make_loader, parse_data
from gancompress.networks.importers import load_generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="file of the teacher")
    parser.add_argument("images", help="folder of photographs")
    parser.add_argument("--crop", type=int, default=24, help="side of the crops, px")
    parser.add_argument("--keep", type=float, default=0.25, help="fraction of the channels that the student keeps")
    parser.add_argument("--num-images", type=int, default=8, help="photographs")
    parser.add_argument("--copies", type=int, default=2, help="crops of each photograph")
    parser.add_argument("--epochs", type=int, default=8)
    given = parser.parse_args()

    teacher = load_generator(given.checkpoint).build()
    transform = {"resize": "none", "crop_size": given.crop}
    splits = {"train": {"folder": ".", "fraction": [0.0, 1.0]}}
    data = parse_data({"kind": "images", "root": given.images, "splits": splits, "transform": transform})
    dataset = data.open("train", augment=True)

    def crops() -> Iterator[Tensor]:
        loader = iter(make_loader(dataset, 1, seed=int(torch.randint(2**31, ()))))
        return (next(loader)["input"] for _ in range(given.num_images))

    example = next(crops())
    student = gc.prune(teacher, example, keep=given.keep)
    with torch.no_grad():
        image = teacher(example)
    moments: list[float] = []
    total = given.num_images * given.epochs
    with tempfile.TemporaryDirectory() as out:
        cache = {"copies": given.copies, "memory_gib": 0.0}
        options = {"out": out, "teacher_cache": cache, "progress": lambda _: moments.append(time.process_time())}
        terms = [gc.losses.L1(100)]
        gc.distill(student, teacher, crops, images=total, terms=terms, checkpoint_every=total, **options)
        files = list(Path(out).glob("teacher_outputs/*/*.safetensors"))
        size = sum(file.stat().st_size for file in files) / len(files)
    made = given.num_images * given.copies
    rates = [made / (moments[made] - moments[0]), (total - made) / (moments[total] - moments[made])]
    rounded = {"half": image.half().float(), "8 bits": ((image.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1}
    print(f"{rates[0]:.2f} steps per second of processor time while the teacher runs, {rates[1]:.2f} from kept outputs")
    print(f"{len(files)} outputs of {size / 1e6:.2f} MB")
    for name, each in rounded.items():
        error = (each - image).square().mean()
        print(f"{name}: {10 * (4 / error).log10():.1f} dB from the teacher's image")


if __name__ == "__main__":
    main()
