"""Files that a recipe needs and that are not part of the package, and how to get them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

_RUNS = "runs/"
_DOWNLOADED = {
    "fid": "InceptionV3",
    "kid": "InceptionV3",
    "inception_score": "InceptionV3",
    "lpips_alex": "AlexNet",
    "lpips_vgg": "VGG-16",
    "lpips_squeeze": "SqueezeNet 1.1",
}
"""Published networks by the beginning of the metrics that download them, checked by their SHA-256."""


@dataclass(frozen=True)
class Need:
    """A file or folder that a recipe names.

    Attributes:
        path: Its path, relative to the working directory.
        content: Its content.
        source: Page of its publisher; empty for files that are not public.
        layout: Folders and names that the recipe expects.
        instead: For a file that is not public, how the recipe runs without it.
    """

    path: str
    content: str
    source: str = ""
    layout: str = ""
    instead: str = ""

    @property
    def is_public(self) -> bool:
        """True if everybody can get it."""
        return bool(self.source)

    @property
    def is_there(self) -> bool:
        """True if it exists."""
        return Path(self.path).exists()

    def __str__(self) -> str:
        """Format as one line: what it is and how to get it."""
        how = f"from {self.source}: {self.layout}" if self.is_public else f"not public; {self.instead}"
        return f"{self.path}: {self.content}; {how}"


def needs_of(recipe: Mapping[str, Any]) -> list[Need]:
    """Return the known files that a recipe names, in its order, each once.

    Args:
        recipe: A recipe as `gancompress.jobs.recipe_text.read_recipe` returns it.
    """
    data = recipe.get("data") or {}
    root = str(data.get("root", "."))
    joined = [f"{root}/{value}" for value in _texts(data)]
    found = [_need(path) for path in dict.fromkeys([*_texts(recipe), *joined])]
    return list(dict.fromkeys(need for need in found if need is not None))


def downloads_of(recipe: Mapping[str, Any]) -> list[str]:
    """Return the published networks that a recipe downloads for its metrics and losses."""
    names = set(_texts(recipe.get("metrics") or {})) | {str(step.get("metric")) for step in recipe["steps"]}
    found = [network for metric, network in _DOWNLOADED.items() if any(name.startswith(metric) for name in names)]
    terms = [each for each in _mappings(recipe) if each.get("published") and "network" not in each]
    return list(dict.fromkeys([*found, *(["VGG"] if terms else [])]))


def _need(path: str) -> Need | None:
    if path.startswith(_RUNS):
        name = path.split("/")[1]
        return Need(f"{_RUNS}{name}/teacher", "a trained teacher", "this package", f"gancompress train {name}")
    return _catalogue().get(path)


@cache
def _catalogue() -> dict[str, Need]:
    text = (files("gancompress.recipes") / "sources" / "files.yaml").read_text("utf-8")
    return {path: Need(path, **fields) for path, fields in yaml.safe_load(text).items()}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _mappings(inner)
