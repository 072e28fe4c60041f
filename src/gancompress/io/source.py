"""Names of networks on the command line and in recipes: ``FILE``, or ``FILE#KEY`` for one network of several."""

from __future__ import annotations

from pathlib import Path


def split_key(source: Path | str) -> tuple[Path, str | None]:
    """Split ``FILE#KEY`` into the path and the key of a network in the file.

    Returns:
        The path, and the key; None if there is no ``#``, or if a file has the whole name.
    """
    path, (start, hash_sign, key) = Path(source), str(source).rpartition("#")
    if not hash_sign or not start or not key or path.exists():
        return path, None
    return Path(start), key
