"""Recipe that a command line leaves in its run directory, to run again and to edit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from gancompress.errors import ConfigError
from gancompress.io import write_atomically
from gancompress.jobs.drafting.request import Request

RECIPE_FILE, COMMAND_FILE = "recipe.yaml", "command.json"


def recipe_text(recipe: Mapping[str, Any], comments: Sequence[str]) -> str:
    """Return a recipe as YAML, with comments above it."""
    head = "".join(f"# {line}\n" for line in comments)
    return head + yaml.safe_dump(dict(recipe), sort_keys=False, width=120, default_flow_style=None)


def written_recipe(request: Request) -> Path | None:
    """Return the recipe that the same request left before, edited or not; None if it has to be drafted.

    A recipe of another request is replaced, unless it was edited.

    Raises:
        ConfigError: The run directory has an edited recipe of another request, or one of unknown origin.
    """
    path = request.directory / RECIPE_FILE
    if not path.is_file():
        return None
    try:
        before = json.loads((request.directory / COMMAND_FILE).read_bytes())
        asked, digest = before["request"], before["recipe_sha256"]
    except (OSError, ValueError, TypeError, KeyError):
        asked, digest = None, None
    if asked == json.loads(json.dumps(request.described)):
        return path
    if digest == _digest(path.read_bytes()):
        return None
    raise ConfigError(
        f"{path}: got a recipe that was edited, or not written by this command, expected none; run it with "
        f"gancompress compress {path}, or give another --out"
    )


def write_recipe(request: Request, text: str) -> Path:
    """Write a drafted recipe and the request that it is for; return its path."""
    directory = request.directory
    directory.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    described = {"request": request.described, "recipe_sha256": _digest(content)}
    write_atomically(directory / COMMAND_FILE, json.dumps(described, indent=2).encode())
    write_atomically(directory / RECIPE_FILE, content)
    return directory / RECIPE_FILE


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
