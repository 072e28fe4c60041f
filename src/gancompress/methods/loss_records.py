"""Records of the losses of a training: ``losses.jsonl``, one line for each report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gancompress.errors import naming
from gancompress.io.files import write_atomically
from gancompress.io.json_files import read_objects

LOSSES_FILE = "losses.jsonl"


def add_losses(directory: Path, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
    """Append a record. Raises OSError if the disk is full."""
    record = {"num_images": num_images, "images_per_second": images_per_second, "losses": dict(values)}
    path = directory / LOSSES_FILE
    with naming(path), path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def read_losses(directory: Path) -> list[dict[str, Any]]:
    """Return the records of a training, in order: ``num_images``, ``images_per_second``, ``losses`` by name.

    It is the last record of each number of images. Lines that a kill, a full disk or damage left unreadable are
    ignored.

    Args:
        directory: The step's directory.
    """
    latest = {line["num_images"]: line for line in read_objects(directory / LOSSES_FILE) if _is_record(line)}
    return [latest[num_images] for num_images in sorted(latest)]


def resume_losses(directory: Path, num_images: int) -> None:
    """Remove what a training that resumes after so many images will record again, and unreadable lines."""
    path = directory / LOSSES_FILE
    if not path.is_file():
        return
    kept = [line for line in read_losses(directory) if line["num_images"] <= num_images]
    content = "".join(json.dumps(line) + "\n" for line in kept).encode()
    if content != path.read_bytes():
        write_atomically(path, content)


def _is_record(line: Mapping[str, Any]) -> bool:
    """Return whether a line is as `add_losses` writes it."""
    number, rate, losses = (line.get(name) for name in ("num_images", "images_per_second", "losses"))
    numbers = [rate, *losses.values()] if isinstance(losses, dict) else [None]
    return isinstance(number, int) and all(isinstance(each, int | float) for each in numbers)
