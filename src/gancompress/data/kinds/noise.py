"""Noise of any shape, drawn without end."""

from __future__ import annotations

import zlib
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from torch import Tensor

from gancompress.data.config import DataConfig, register_data
from gancompress.data.image_set import ImageSet, Item, Visit
from gancompress.data.randomness import Purpose, generator
from gancompress.options import as_tuple

_Shape = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(as_tuple)]


@register_data
class NoiseConfig(DataConfig):
    """Items with "input", noise of a shape, or with several inputs by name. No two items of training are alike.

    Attributes:
        shape: Shape of an item, without the batch; or shapes by the names of the network's inputs.
        distribution: ``normal`` of mean 0 and standard deviation 1, or ``uniform`` in [-1, 1].
        num_items: Number of items of ``search`` and ``test``; ``train`` never ends.
        seed: Seed of the items.
    """

    kind = "noise"
    has_targets = False
    holds_images = False

    shape: _Shape | dict[str, _Shape]
    distribution: Literal["normal", "uniform"] = "normal"
    num_items: int = Field(default=256, ge=1)
    seed: int = Field(default=0, ge=0)

    def split_names(self) -> list[str]:
        """Return the names of the splits that can be opened."""
        return ["train", "search", "test"]

    def open(self, split: str, augment: bool = False) -> NoiseSet:
        """Open the data set of a split. Raises ConfigError as `DataConfig.open`."""
        return NoiseSet(self, self._known_split(split), augment)


class NoiseSet(ImageSet):
    """Data set of noise: an item depends on the seed, the split, its number and, in training, its epoch."""

    def __init__(self, config: NoiseConfig, split: str, augment: bool) -> None:
        self.augment = augment
        self._config, self._split = config, split

    def __len__(self) -> int:
        """Return the number of items of an epoch."""
        return self._config.num_items

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return the items in their order, which noise does not need to change."""
        return np.arange(len(self))

    def item(self, visit: Visit) -> Item:
        """Return the item of a visit."""
        config = self._config
        place = (visit.epoch, visit.seed) if self.augment else (0, 0)
        draw = generator(Purpose.LATENT, config.seed, zlib.crc32(self._split.encode()), visit.index, *place)
        shapes = config.shape if isinstance(config.shape, dict) else {"input": config.shape}
        tensors = {name: self._drawn(draw, shape) for name, shape in shapes.items()}
        return {**tensors, "name": f"{self._split}-{visit.index:06d}", "index": visit.index}

    def _drawn(self, draw: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
        if self._config.distribution == "uniform":
            return torch.from_numpy(draw.random(shape, np.float32) * 2 - 1)
        return torch.from_numpy(draw.standard_normal(shape, np.float32))
