"""TensorBoard log of losses and sample grids. The package is optional."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from gancompress.errors import ConfigError


class TensorBoard:
    """Event files of one step, in their own directory."""

    def __init__(self, directory: Path, num_images: int = 0) -> None:
        """Open the event files, new or existing.

        Args:
            directory: Directory of the event files; created if it does not exist.
            num_images: Images trained on so far; events beyond, from before an interruption, are hidden.

        Raises:
            ConfigError: The package is not installed.
        """
        self.check()
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        self._writer = writer(directory, purge_step=num_images + 1)

    @staticmethod
    def check() -> None:
        """Raise ConfigError if the package cannot be imported."""
        try:
            importlib.import_module("torch.utils.tensorboard")
        except ImportError as error:
            raise ConfigError(
                f"tensorboard: cannot be imported ({error}), expected it for --tensorboard; "
                "pip install 'gancompress[tensorboard]'"
            ) from None

    def scalars(self, num_images: int, values: Mapping[str, float]) -> None:
        """Log values by name at this many images."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, num_images)

    def picture(self, num_images: int, name: str, path: Path) -> None:
        """Log an image file at this many images."""
        with Image.open(path) as image:
            self._writer.add_image(name, np.asarray(image.convert("RGB")), num_images, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the event files."""
        self._writer.close()
