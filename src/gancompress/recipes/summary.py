"""Summaries of the shipped recipes, in groups by what they need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gancompress.recipes.needs import Download, Need, downloads_of, needs_of

GROUPS = (
    "Ready to run",
    "With public files, on two CPU cores",
    "With public files, on a GPU: the papers' experiments",
    "Experiments with a file that is not public",
)
"""Groups of recipes, in the order of their lists."""

_MOST_PIXELS_ON_CPUS = 2e9
"""Pixels that are seen in training at most by a recipe for two CPU cores."""


@dataclass(frozen=True)
class RecipeSummary:
    """Facts about a recipe that help to choose one.

    Attributes:
        name: Its name.
        words: The first sentence of the comment at its head.
        needs: Files to get before it runs.
        downloads: Published weights that it downloads for metrics and losses.
        num_images: Images that are seen in training: by the teacher, if the recipe trains it, and in all steps.
        size: Height and width of the images, in pixels; None if they keep the size of their files.
    """

    name: str
    words: str
    needs: tuple[Need, ...]
    downloads: tuple[Download, ...]
    num_images: int
    size: tuple[int, int] | None

    @property
    def group(self) -> str:
        """The group it belongs to."""
        if not self.needs:
            return GROUPS[0]
        if not all(need.is_public for need in self.needs):
            return GROUPS[3]
        height, width = self.size or (256, 256)
        return GROUPS[1] if self.num_images * height * width <= _MOST_PIXELS_ON_CPUS else GROUPS[2]

    @property
    def training(self) -> str:
        """Amount of training in words."""
        return f"{self.num_images:,} images" + (f" of {self.size[1]}x{self.size[0]}" if self.size else "")


def summarise(name: str, text: str, recipe: Mapping[str, Any]) -> RecipeSummary:
    """Return the summary of a recipe.

    Args:
        name: Its name.
        text: Its YAML text, whose comments describe it.
        recipe: Its options, as `gancompress.jobs.recipe_text.read_recipe` returns them.
    """
    comment = " ".join(line[2:] for line in text.splitlines() if line.startswith("# "))
    words = re.split(r"(?<=\w[.)])\. |(?<=\w)\. (?=[A-Z])", comment, maxsplit=1)[0].removesuffix(".")
    teacher = recipe["teacher"]
    trains = not teacher.get("checkpoint") and not teacher.get("shipped")
    trained = [*recipe["steps"], *([teacher["train"]] if trains else [])]
    images = sum(_images(step.get("training") or {}) for step in trained)
    return RecipeSummary(name, words, tuple(needs_of(recipe)), tuple(downloads_of(recipe)), images, _size(recipe))


def _images(training: Mapping[str, Any]) -> int:
    return training.get("num_images", 0) + training.get("num_decay_images", 0)


def _size(recipe: Mapping[str, Any]) -> tuple[int, int] | None:
    data = recipe["data"]
    size = data.get("image_size") or (data.get("transform") or {}).get("crop_size")
    if not size:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
