"""Line drawings and shaded pictures of procedural solids: nothing to download."""

from __future__ import annotations

import zlib
from functools import partial

import numpy as np
from PIL import Image
from pydantic import Field

from gancompress.data.cache import Arrays, Cache
from gancompress.data.config import DataConfig, register_data
from gancompress.data.image_set import ImageSet, Item, Visit
from gancompress.data.randomness import Purpose, generator
from gancompress.data.scene import random_scene, render
from gancompress.data.transform import to_tensor


@register_data
class ProceduralConfig(DataConfig):
    """Items with "input", the drawing, and "target", the picture: edges to shaded objects.

    The drawing contains everything that the picture depends on: the shape of a solid gives its colour, hatching marks
    the dark tiles and the coloured bands. Networks learn form: shading, highlights, soft shadows, occlusion.

    Attributes:
        image_size: Height and width in pixels.
        num_images: Number of scenes of each split. Splits show different scenes.
        seed: Seed of the scenes.
        cache: Cache of drawn images: in memory by default. None draws them each time, about 6 ms for 64 px.
    """

    kind = "procedural"

    image_size: int = Field(default=64, ge=16, le=512)
    num_images: dict[str, int] = Field(
        default_factory=lambda: {"train": 2000, "search": 200, "test": 200}, min_length=1
    )
    seed: int = Field(default=0, ge=0)
    cache: Cache | None = Cache()

    def split_names(self) -> list[str]:
        """Return the names of the splits that can be opened."""
        return list(self.num_images)

    def num_views(self) -> int:
        """Return 1, because nothing is augmented. See `DataConfig.num_views`."""
        return 1

    def open(self, split: str, augment: bool = False) -> ProceduralSet:
        """Open the data set of a split, without augmentation. Raises ConfigError as `DataConfig.open`."""
        return ProceduralSet(self, self._known_split(split), augment)


class ProceduralSet(ImageSet):
    """Data set of scenes; a scene depends on the seed, the name of the split and its number."""

    def __init__(self, config: ProceduralConfig, split: str, augment: bool) -> None:
        self.augment = augment
        self._config = config
        self._split = split
        self._cache = None if config.cache is None else config.cache.open(config.kind)

    def __len__(self) -> int:
        """Return the number of scenes."""
        return self._config.num_images[self._split]

    def item(self, visit: Visit) -> Item:
        """Return the item of a visit, the same in every epoch."""
        make = partial(self._draw, visit.index)
        if self._cache is None:
            images = make()
        else:
            key = f"{self._config.seed} {self._split} {visit.index} {self._config.image_size}"
            images = self._cache.get(visit.index, key, make)
        tensors = {role: to_tensor(Image.fromarray(image)) for role, image in images.items()}
        return {**tensors, "name": f"{self._split}-{visit.index:06d}", "index": visit.index}

    def _draw(self, index: int) -> Arrays:
        draw = generator(Purpose.SCENE, self._config.seed, zlib.crc32(self._split.encode()), index)
        drawing, picture = render(random_scene(draw), self._config.image_size)
        return {"input": np.asarray(drawing), "target": np.asarray(picture)}
