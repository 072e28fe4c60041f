"""Write the drawn scenes of the quickstart as pairs of images side by side, for programs that read folders.

python scripts/peers/drawn_pairs.py runs/pairs --train 600 --test 128
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from gancompress.data.kinds.procedural import ProceduralConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=600)
    parser.add_argument("--test", type=int, default=128)
    given = parser.parse_args()
    counts = {"train": given.train, "val": 8, "test": given.test}
    scenes = ProceduralConfig(num_images={"train": given.train, "search": 8, "test": given.test})
    for folder, split in zip(counts, ("train", "search", "test"), strict=True):
        (given.out / folder).mkdir(parents=True, exist_ok=True)
        drawn = scenes.open(split)
        for number in range(counts[folder]):
            item = drawn[number]
            pair = [((item[role] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy() for role in ("input", "target")]
            side = Image.new("RGB", (2 * pair[0].shape[1], pair[0].shape[0]))
            for place, image in enumerate(pair):
                side.paste(Image.fromarray(image), (place * image.shape[1], 0))
            side.save(given.out / folder / f"{number:05d}.png")


if __name__ == "__main__":
    main()
