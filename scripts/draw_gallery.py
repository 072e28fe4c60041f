"""Add finished runs to the gallery: a small picture of each, and what its report says it gained.

    python scripts/draw_gallery.py docs/results/gallery.md runs/quickstart "Drawings to solids"

A picture is the first one of the report, or a grid that ``draw_samples.py`` drew, as JPEG in ``images`` of the pages.
A run that is there already is replaced.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from PIL import Image

WIDTH_PX, QUALITY = 640, 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("title")
    parser.add_argument("--picture", type=Path, help="a grid of other photographs, instead of the report's picture")
    given = parser.parse_args()
    report = json.loads((given.run / "report.json").read_text(encoding="utf-8"))
    name = re.sub(r"\W+", "_", report["title"])
    pictures = given.page.parents[1] / "images"
    pictures.mkdir(exist_ok=True)
    shrink(given.picture or given.run / "samples" / "test.png", pictures / f"gallery_{name}.jpg")
    block = "\n".join(
        [
            f"<!-- run {name}: begin -->",
            f"## {given.title}",
            "",
            f"![Input, original and compressed network of the run {report['title']}](../images/gallery_{name}.jpg)",
            "",
            *(f"* {line}" for line in report["headline"]),
            f"<!-- run {name}: end -->",
        ]
    )
    text = given.page.read_text(encoding="utf-8")
    pattern = re.compile(rf"<!-- run {name}: begin -->.*?<!-- run {name}: end -->", re.DOTALL)
    found = pattern.search(text)
    text = text.replace(found[0], block) if found else f"{text.rstrip()}\n\n{block}\n"
    given.page.write_text(text, encoding="utf-8")


def shrink(grid: Path, out: Path) -> None:
    """Write a grid of samples as a small JPEG on white."""
    image = Image.open(grid).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    picture = white.convert("RGB")
    if picture.width > WIDTH_PX:
        picture = picture.resize((WIDTH_PX, picture.height * WIDTH_PX // picture.width), Image.Resampling.LANCZOS)
    picture.save(out, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
