"""Atomic writing of a file or a folder: either all of it or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gancompress.errors import ExportError


@contextmanager
def draft_of(path: Path, what: str, beside: str | None = None) -> Iterator[Path]:
    """Yield a temporary file beside the path, which replaces it on success and is deleted otherwise.

    Args:
        path: The file to write; its folders are created.
        what: Beginning of messages, such as "ONNX export".
        beside: Ending of a second file that belongs to it, such as ``.bin``.

    Raises:
        ExportError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")  # the suffix may be empty
        endings = [each for each in (beside, path.suffix) if each is not None]  # the one that names the other is last
        try:
            yield draft
            for ending in endings:
                os.replace(draft.with_suffix(ending), path.with_suffix(ending))
        finally:
            for ending in endings:
                draft.with_suffix(ending).unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(
            f"{what}: cannot write {path}: {error.strerror}; make room there, and run it again"
        ) from error


@contextmanager
def draft_folder_of(path: Path, what: str) -> Iterator[Path]:
    """Yield the path of a temporary folder, which replaces the target on success and is deleted otherwise.

    An existing folder is moved aside first, and moved back if the new one cannot replace it.

    Args:
        path: The folder to write; its parents are created.
        what: See `draft_of`.

    Raises:
        ExportError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
        before = draft.with_suffix(f"{path.suffix}.before")
        try:
            yield draft
            if path.is_dir():
                os.rename(path, before)
            os.rename(draft, path)
        finally:
            if before.exists() and not path.exists():
                os.rename(before, path)
            for folder in (draft, before):
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise ExportError(
            f"{what}: cannot write {path}: {error.strerror}; make room there, and run it again"
        ) from error


def disk_bytes(path: Path, beside: str | None = None) -> int:
    """Return the bytes of a file and of a second one beside it, or of all files in a folder.

    Args:
        path: The file or folder.
        beside: Ending of the second file, such as ``.bin``.
    """
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    second = path.with_suffix(beside) if beside else None
    return path.stat().st_size + (second.stat().st_size if second is not None and second.exists() else 0)
