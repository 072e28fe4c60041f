"""Material of a draft: the data of the recipe, and facts about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Material:
    """Data as a recipe names it, with facts about it and about the network's outputs for it.

    Attributes:
        data: Data of the recipe.
        counts: Number of items by split.
        items: Items in words, such as "crops of 64x64".
        output: Shape of the output for it, without the batch.
        holds_images: True for images in [-1, 1], False for tensors of any kind.
        repeats: True if each epoch holds the same inputs: no random crops, flips or noise.
        image_range: Range of the network's images that the recipe states; None leaves it to the family.
        folds: True if the network has re-parameterised blocks to fold.
    """

    data: Mapping[str, Any]
    counts: Mapping[str, int]
    items: str
    output: tuple[int, ...]
    holds_images: bool = True
    repeats: bool = False
    image_range: str | None = None
    folds: bool = False

    @property
    def is_sound(self) -> bool:
        """True if the output has the shape of a wave, [1 or 2, samples], of at least the shortest spectrum."""
        return len(self.output) == 2 and self.output[0] in (1, 2) and self.output[1] >= 512
