"""Record of the directories that gancompress wrote on this machine, whose code their user has already run."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from gancompress.io.files import cache_folder


def record_own(description: Path, program: str) -> None:
    """Record that a description was written here for a program that was running; without a cache folder, nothing is.

    Args:
        description: The file that names the program.
        program: Its import path.
    """
    with suppress(OSError):
        mark = _mark(description, program)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def is_own(description: Path, program: str) -> bool:
    """Return True if a description was written at this place, for this program, and is unchanged since."""
    try:
        return _mark(description, program).exists()
    except OSError:
        return False


def _mark(description: Path, program: str) -> Path:
    facts = str(description.resolve()).encode(), program.encode(), description.read_bytes()
    return cache_folder() / "own" / hashlib.sha256(b"\0".join(facts)).hexdigest()
