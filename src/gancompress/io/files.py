"""Atomic writing, hashing and caching of files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from gancompress.errors import naming

CACHE_VARIABLE = "GANCOMPRESS_CACHE"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically: after a crash or power loss it is either complete or absent."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with naming(path):
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def is_file(path: Path) -> bool:
    """Return whether there is such a file; no name can be too long to ask."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return the cache folder for downloads: ``$GANCOMPRESS_CACHE``, or ``~/.cache/gancompress``."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "gancompress"
