"""Metadata in a zip archive at the end of a file, which readers of the file's own format ignore."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

METADATA_FILE = "gancompress.json"
"""Name of the metadata among the files in a file."""


def append_metadata(path: Path, metadata: Mapping[str, Any]) -> None:
    """Append metadata to a file."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(METADATA_FILE, json.dumps(dict(metadata)))


def appended_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata that `append_metadata` wrote; empty without any."""
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(METADATA_FILE)) if METADATA_FILE in archive.namelist() else {}
