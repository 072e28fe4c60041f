"""JSON files of a run that may be damaged: what is whole is read, the rest counts as missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file; None if the file is missing, damaged, or holds anything else."""
    if not path.is_file():
        return None
    return _object(path.read_bytes())


def read_objects(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects in a file that has one on each line; empty if there is no file.

    Lines that a kill, a full disk or damage left unreadable are skipped, and so is the last one without a line end.
    """
    if not path.is_file():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0].split(b"\n")
    return [found for line in whole if (found := _object(line)) is not None]


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
