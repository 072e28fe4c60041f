"""A kind of data set: images of one colour each, and the opposite colours as targets."""

from collections.abc import Iterator

import torch

from gancompress.data import DataConfig, ImageSet, Item, Visit, register_data


@register_data
class ColoursConfig(DataConfig):
    """Items with "input" and "target"."""

    kind = "colours"

    size: int = 16
    num_images: int = 4

    def split_names(self) -> list[str]:
        return ["train", "search", "test"]

    def open(self, split: str, augment: bool = False) -> "Colours":
        return Colours(self, self.split_names().index(self._known_split(split)))


class Colours(ImageSet):
    def __init__(self, config: ColoursConfig, number: int) -> None:
        self._config, self._number = config, number

    def __len__(self) -> int:
        return self._config.num_images

    def files(self) -> Iterator:
        return iter(())

    def item(self, visit: Visit) -> Item:
        draw = torch.Generator().manual_seed(100 * self._number + visit.index)
        colour = torch.rand(3, 1, 1, generator=draw) * 2 - 1
        image = colour.expand(3, self._config.size, self._config.size).clone()
        return {"input": image, "target": -image, "name": f"colour{visit.index}", "index": visit.index}
