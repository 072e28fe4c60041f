"""Log that the training loop writes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class TrainingLog(Protocol):
    """Log of the training loop. Only the main process calls it."""

    def progress(self, num_images: int, total_images: int) -> None:
        """Report the progress, before the first step (from wherever training resumes) and after each step."""

    def losses(self, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
        """Report mean losses since the last report, and metrics on a split under its name: ``search/psnr``."""

    def preview(self, num_images: int, images: Mapping[str, Tensor]) -> None:
        """Show sample images [b, 3, h, w] in [-1, 1] by column."""

    def said(self, line: str) -> None:
        """Show a message to the user."""
