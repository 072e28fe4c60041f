"""Files that a recipe needs and that are not part of the package, and how to get them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from gancompress.io import cache_folder
from gancompress.losses.perceptual import PERCEPTUAL
from gancompress.perception.lpips import LPIPS_TRUNKS
from gancompress.perception.weights import WEIGHTS, fetch_weights

_RUNS = "runs/"
_INCEPTION = ("fid", "kid", "inception_score")
"""Beginnings of the metrics that take the network of FID."""


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


@dataclass(frozen=True)
class Download:
    """A published file of weights that a recipe downloads once, checked by its SHA-256.

    Attributes:
        name: Its name in `WEIGHTS`.
    """

    name: str

    @property
    def path(self) -> Path:
        """Its place in the cache."""
        return cache_folder() / WEIGHTS[self.name].name

    def fetch(self) -> Path:
        """Return its path, downloading it if the cache lacks it. Raises CheckpointError if that fails."""
        return fetch_weights(WEIGHTS[self.name])

    def __str__(self) -> str:
        """Format as one line: where it comes from, and where it goes."""
        return f"{WEIGHTS[self.name].url}: downloaded when it is first used, to {self.path}"


def downloads_of(recipe: Mapping[str, Any]) -> list[Download]:
    """Return the published weights that a recipe downloads for its metrics and losses.

    Args:
        recipe: A recipe as `gancompress.jobs.recipe_text.read_recipe` returns it, or all options of a job.
    """
    names, networks = _metric_names(recipe), metric_networks(recipe)
    found = ["inception"] if "inception" not in networks and any(map(_is_of_inception, names)) else []
    found += [each for kind in LPIPS_TRUNKS if f"lpips_{kind}" in names for each in _of_lpips({"trunk": kind})]
    found += [network["published"] for network in networks.values() if network.get("published")]
    for term in _mappings([recipe.get("teacher"), recipe["steps"]]):
        if term.get("kind") == "lpips" and not term.get("network"):
            found += _of_lpips(term)
        if term.get("kind") == "perceptual" and not term.get("weights"):
            found.append(term.get("network") or PERCEPTUAL.find(term.get("published", "omgd")).trunk)
    return [Download(name) for name in dict.fromkeys(found) if name in WEIGHTS]


def metric_networks(recipe: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the networks of ``metrics.networks`` that a metric of the recipe names, by their names.

    Args:
        recipe: As for `downloads_of`.
    """
    names, networks = _metric_names(recipe), (recipe.get("metrics") or {}).get("networks") or {}
    used = {key for key in networks for name in names if f"_{key}_" in f"{name}_"}
    used |= {"inception"} & set(networks) if any(map(_is_of_inception, names)) else set()
    return {key: network for key, network in networks.items() if key in used}


def _metric_names(recipe: Mapping[str, Any]) -> set[str]:
    """Return the metrics of the measurements and of the searches."""
    metrics = recipe.get("metrics") or {}
    names = {name for place in ("against_real", "against_teacher") for name in metrics.get(place) or ()}
    return names | {str(step.get("metric")) for step in recipe["steps"]}


def _is_of_inception(metric: str) -> bool:
    return metric.startswith(_INCEPTION)


def _of_lpips(term: Mapping[str, Any]) -> list[str]:
    kind = term.get("trunk", "vgg")
    published = {"weights": LPIPS_TRUNKS[kind][0], "heads": f"lpips_{kind}"}
    return [name for option, name in published.items() if not term.get(option)]


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
