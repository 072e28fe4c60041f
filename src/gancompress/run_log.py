"""What a step leaves to look at while it trains: losses line by line, sample grids, progress in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from gancompress.report import sample_grid


class RunLog:
    """Writes ``losses.jsonl`` and ``previews/`` into a step's directory, and tells the user."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        """Log into a directory.

        Args:
            directory: The step's directory, which exists.
            say: Where to tell the user, a line at a time.
        """
        self._directory, self._say = directory, say

    def losses(self, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
        """Mean losses since the last report."""
        record = {"num_images": num_images, "images_per_second": images_per_second, "losses": dict(values)}
        with (self._directory / "losses.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        shown = "  ".join(f"{name} {value:.3g}" for name, value in values.items() if "/" not in name)
        self._say(f"  {num_images:,} images, {images_per_second:.1f} per second  {shown}")

    def preview(self, num_images: int, images: Mapping[str, Tensor]) -> None:
        """A sample grid."""
        directory = self._directory / "previews"
        directory.mkdir(exist_ok=True)
        sample_grid(dict(images), directory / f"{num_images:09d}.png")
