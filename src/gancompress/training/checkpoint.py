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

_PATTERN = re.compile(r"\d{12}\.safetensors")


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
    """The checkpoints of one run, in one directory; the newest few are kept."""

    def __init__(self, directory: Path, keep: int = 2) -> None:
        """Use a directory; it is created with the first checkpoint.

        Args:
            directory: Directory of the checkpoints.
            keep: Number of checkpoints to keep; with 2, a damaged newest one falls back to the one before.
        """
        self.directory, self._keep = directory, keep

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint atomically and delete the oldest. Raises OSError if the disk is full."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.path(snapshot.num_images)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in snapshot.tensors.items()}
        text = json.dumps(dict(snapshot.facts))
        facts = {"facts": text, "digest": _digest(tensors), "facts_digest": sha256(text.encode()).hexdigest()}
        write_atomically(path, save(tensors, metadata=facts))
        for old in self._newest_first()[self._keep :]:
            old.unlink()
        return path

    def path(self, num_images: int) -> Path:
        """Return the path of the checkpoint after so many images."""
        return self.directory / f"{num_images:012d}.safetensors"

    def latest(self) -> Snapshot | None:
        """Return the newest intact checkpoint; None if there is none."""
        for path in self._newest_first():
            try:
                with safe_open(path, framework="pt") as file:
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                    metadata = file.metadata()
            except (SafetensorError, OSError):
                continue
            if metadata and metadata.get("digest") == _digest(tensors) and _has_whole_facts(metadata):
                return Snapshot(int(path.stem), tensors, json.loads(metadata["facts"]))
        return None

    def _newest_first(self) -> list[Path]:
        named = (path for path in self.directory.glob("*") if _PATTERN.fullmatch(path.name))
        return sorted(named, reverse=True)


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
