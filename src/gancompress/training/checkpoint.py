"""Checkpoints of a training run, written atomically; damaged ones are skipped on resume."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gancompress.io import write_atomically

_PATTERN = re.compile(r"(\d{12})(\.process\d+)?\.safetensors")

MEMORY = "memory/"
"""Beginning of the names of an objective's memory, which belongs to one process."""


@dataclass(frozen=True)
class Snapshot:
    """State of a training run.

    Attributes:
        num_images: Images trained on.
        tensors: Weights, optimizer moments, averages and memories, by name.
        facts: Other state, as JSON.
    """

    num_images: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run, in one directory; the newest few are kept.

    A checkpoint is the file of the first process, and beside it one of every other process for what is its own.
    """

    def __init__(self, directory: Path, keep: int = 2) -> None:
        """Use a directory; it is created with the first checkpoint.

        Args:
            directory: Directory of the checkpoints.
            keep: Number of checkpoints to keep; with 2, a damaged newest one falls back to the one before.
        """
        self.directory, self._keep = directory, keep

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint atomically and delete the oldest. Raises OSError if the disk is full."""
        path = self.path(snapshot.num_images)
        self._write(path, snapshot)
        kept = {each.name[:12] for each in self._newest_first()[: self._keep]}
        for old in self.directory.glob("*"):
            if _PATTERN.fullmatch(old.name) and old.name[:12] not in kept:
                old.unlink()
        return path

    def save_own(self, snapshot: Snapshot, process: int) -> None:
        """Write what another process than the first has of its own, before the first one saves the checkpoint."""
        self._write(self.path(snapshot.num_images, process), snapshot)

    def path(self, num_images: int, process: int = 0) -> Path:
        """Return the path of a process's file of the checkpoint after so many images."""
        return self.directory / f"{num_images:012d}{f'.process{process}' * (process > 0)}.safetensors"

    def latest(self, process: int = 0, at_most: int | None = None) -> Snapshot | None:
        """Return the newest intact checkpoint for a process; None if there is none.

        Args:
            process: Number of the process. One that had no file of its own when the checkpoint was written, because
                fewer processes ran, gets that of the first.
            at_most: Largest number of images; any by default.
        """
        for path in self._newest_first():
            num_images = int(path.stem)
            found = _read(path, num_images) if at_most is None or num_images <= at_most else None
            if found is not None and 0 < process < found.facts.get("processes", 1):
                own = _read(self.path(num_images, process), num_images)
                found = None if own is None else _with_own(found, own)
            if found is not None:
                return found
        return None

    def _write(self, path: Path, snapshot: Snapshot) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in snapshot.tensors.items()}
        text = json.dumps(dict(snapshot.facts))
        facts = {"facts": text, "digest": _digest(tensors), "facts_digest": sha256(text.encode()).hexdigest()}
        write_atomically(path, save(tensors, metadata=facts))

    def _newest_first(self) -> list[Path]:
        """Return the files of the first process."""
        found = ((path, _PATTERN.fullmatch(path.name)) for path in self.directory.glob("*"))
        return sorted((path for path, match in found if match and match[2] is None), reverse=True)


def _with_own(first: Snapshot, own: Snapshot) -> Snapshot:
    """Return the state of a process whose own part replaces that of the first process."""
    shared = {name: tensor for name, tensor in first.tensors.items() if not name.startswith(MEMORY)}
    return Snapshot(first.num_images, shared | dict(own.tensors), first.facts)


def _read(path: Path, num_images: int) -> Snapshot | None:
    """Return the content of an intact file, else None."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
    except (SafetensorError, OSError):
        return None
    if metadata and metadata.get("digest") == _digest(tensors) and _has_whole_facts(metadata):
        return Snapshot(num_images, tensors, json.loads(metadata["facts"]))
    return None


def _has_whole_facts(metadata: Mapping[str, str]) -> bool:
    """Return whether the facts are as written; checkpoints of before version 0.2 have no digest of them."""
    facts = metadata.get("facts", "").encode()
    return bool(facts) and metadata.get("facts_digest") in (None, sha256(facts).hexdigest())


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes."""
    digest = sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
