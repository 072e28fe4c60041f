"""Material of a draft: the data of the recipe, and the shapes that go into and come out of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Material:
    """Data as a recipe names it, and facts about it and about what the network makes of it.

    Attributes:
        data: Data of the recipe.
        counts: Number of items by split.
        shape: Shape of one input, without the batch.
        output: Shape of the output for it, without the batch.
        holds_images: True for images in [-1, 1], False for tensors of any kind.
        image_range: Range of the network's images that the recipe states; None leaves it to the family.
    """

    data: Mapping[str, Any]
    counts: Mapping[str, int]
    shape: tuple[int, ...]
    output: tuple[int, ...]
    holds_images: bool = True
    image_range: str | None = None

    @property
    def item(self) -> str:
        """One item in words, in the plural."""
        if self.holds_images:
            return f"crops of {self.shape[1]}x{self.shape[2]}"
        return f"items of {'x'.join(map(str, self.shape))}"

    @property
    def is_sound(self) -> bool:
        """True if the output has the shape of a wave, [1 or 2, samples], of at least the shortest spectrum."""
        return len(self.output) == 2 and self.output[0] in (1, 2) and self.output[1] >= 512
