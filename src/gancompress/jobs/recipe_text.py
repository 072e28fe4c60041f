"""Text of recipes: those of this package and the user's files, with what they extend and change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from gancompress.errors import ConfigError, in_the_middle, nearest
from gancompress.io.files import is_file
from gancompress.io.yaml_text import MAX_CHARACTERS, MAX_DEPTH, read_yaml
from gancompress.recipes.summary import RecipeSummary, summarise

_MOST_EXTENDED = 20
"""Longest chain of recipes that extend one another."""


def recipe_names() -> list[str]:
    """Return the names of the recipes of this package."""
    return sorted(_packaged())


@cache
def _packaged() -> dict[str, Traversable]:
    """Return the files of the recipes of this package, by name; experiments that need private files lie apart."""
    folder = files("gancompress.recipes")
    entries = [*folder.iterdir(), *(folder / "experiments").iterdir()]
    return {entry.name.removesuffix(".yaml"): entry for entry in entries if entry.name.endswith(".yaml")}


def recipe_text(name: str) -> str:
    """Return a complete recipe: one of this package by name, or a file by path, with its ``extends`` resolved.

    Raises:
        ConfigError: There is no such recipe or file, or it is not a recipe.
    """
    text = _written(name)
    recipe = read_recipe(name)
    if recipe == read_yaml(text):
        return text
    comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    return comments + yaml.safe_dump(recipe, sort_keys=False, width=120)


def recipe_summary(name: str) -> RecipeSummary:
    """Return the summary of a recipe of this package. Raises ConfigError as `recipe_text`."""
    return summarise(name, _written(name), read_recipe(name))


def _written(name: str) -> str:
    if (packaged := _packaged().get(name)) is not None:
        return packaged.read_text("utf-8")
    path = Path(name)
    if not is_file(path):
        got = in_the_middle(name, 120)
        raise ConfigError(f"recipe: got '{got}', expected a file or a recipe's name; {nearest(name, recipe_names())}")
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_CHARACTERS + 1)
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: got a file that is no text, expected a recipe (YAML)") from None


def read_recipe(name: str, extended_by: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the options of a recipe; if it extends another one, the other one's with its own changes.

    Args:
        name: A recipe's name, or the path of a YAML file.
        extended_by: The recipes that led to this one.

    Raises:
        ConfigError: There is no such recipe, it is none, it extends itself, or it sets a place that there is not.
    """
    if name in extended_by:
        raise ConfigError(f"{name}: extends itself, by way of {', '.join(extended_by)}")
    if len(extended_by) > _MOST_EXTENDED:
        raise ConfigError(
            f"{name}: extended over more than {_MOST_EXTENDED} recipes, expected fewer; merge some of them"
        )
    text = _written(name)
    try:
        recipe = read_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}, expected a recipe (YAML)") from None
    if not isinstance(recipe, dict):
        raise ConfigError(f"{name}: got a {type(recipe).__name__}, expected a recipe: a mapping of named options")
    if "extends" not in recipe:
        return recipe
    changes = recipe.pop("set", None) or {}
    if not isinstance(changes, dict):
        raise ConfigError(f"{name}: set: got a {type(changes).__name__}, expected a mapping, such as seed: 1")
    base = str(recipe.pop("extends"))
    beside = Path(name).parent / base
    base = read_recipe(str(beside) if is_file(beside) else base, (*extended_by, name))
    recipe = {**base, **recipe}
    for path, value in changes.items():
        set_option(recipe, str(path), value, f"{name}: set")
    return recipe


def set_option(recipe: dict[str, Any], path: str, value: Any, where: str) -> None:
    """Set one option of a recipe.

    Args:
        recipe: Options of the recipe, changed in place.
        path: Place of the option, as ``a.b``; lists are indexed by numbers or kinds.
        value: The new value.
        where: Beginning of messages.

    Raises:
        ConfigError: The recipe has no such place.
    """
    *parents, last = path.split(".")
    if len(parents) > MAX_DEPTH:
        raise ConfigError(f"{where}: got a place nested {len(parents)} deep, expected at most {MAX_DEPTH}")
    place: Any = recipe
    try:
        for key in parents:
            place = place[_index(place, key)] if isinstance(place, list) else place.setdefault(key, {})
        if isinstance(place, list):
            if not last.isdigit():
                value = {"kind": last, **value}
            number = _index(place, last)
            place[number : number + 1] = [value]  # one place behind the last one appends
        else:
            place[last] = value
    except (IndexError, ValueError, TypeError, AttributeError):
        raise ConfigError(f"{where}: got '{path}', but the recipe has no such place") from None


def _index(place: Sequence[Any], key: str) -> int:
    """Return the index of a list's item, given by a number or the item's kind; the end of the list if there is none."""
    if key.isdigit():
        return int(key)
    kinds = [each.get("kind") if isinstance(each, Mapping) else each for each in place]
    return kinds.index(key) if key in kinds else len(place)
