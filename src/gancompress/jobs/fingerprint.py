"""Fingerprints of steps: hashes of everything that the result of a step depends on.

An option at its default is no part of a fingerprint, so that a new option leaves finished and unfinished runs valid.
Raise `FORMAT_VERSION` when a default changes, or when the same options would give another result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from gancompress.io.source import split_key
from gancompress.jobs.recipe import Job
from gancompress.jobs.steps import Step
from gancompress.networks.importers import files_of
from gancompress.perception.weights import file_sha256

FORMAT_VERSION = 3

_REPORTING = {"checkpoint_every", "log_every", "preview_every", "validate_every"}


class Fingerprints:
    """Fingerprints of the steps of one job; each file is read once."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._digests: dict[Path, list[str]] = {}

    def of(self, steps: Sequence[Step]) -> str:
        """Return the fingerprint of the last of a chain of steps."""
        given = self._job.model_dump(
            mode="json", include={"seed", "task", "data", "teacher", "budget", "loadable"}, exclude_defaults=True
        )
        if not any(step.uses_budget for step in steps):
            given.pop("budget", None)
        elif self._quantized_later:
            given["quantization"] = self._job.quantization.model_dump(mode="json")
        teacher = given.pop("teacher")
        given["teacher"] = {"shipped": teacher["shipped"]} if "shipped" in teacher else _without_reporting(teacher)
        described = [
            _without_reporting(step.model_dump(mode="json", exclude_defaults=True, exclude=set(step.places)))
            for step in steps
        ]
        given["weights"] = [self._teacher_digests]
        given["files"] = [self._digest(path) for path in _paths_in(described)]
        if any(step.measures for step in steps):
            measured = {"networks", "batch_size", "content_mask", "latent"}
            given["metrics"] = self._job.metrics.model_dump(mode="json", include=measured, exclude_defaults=True)
            given["weights"].append(self._network_digests)
        return sha256(json.dumps([FORMAT_VERSION, given, described], sort_keys=True).encode()).hexdigest()

    @property
    def _quantized_later(self) -> bool:
        """True if the bits that a budget in bytes counts are those of a step behind the first that uses the budget."""
        steps, budget = self._job.steps, self._job.budget
        first = next((number for number, step in enumerate(steps) if step.uses_budget), len(steps))
        in_bytes = budget is not None and (budget.bytes is not None or budget.unit == "bytes")
        return in_bytes and any(step.new_quantization is not None for step in steps[first + 1 :])

    def _digest(self, path: Path) -> list[str]:
        if path not in self._digests:
            self._digests[path] = _weights_digest(path)
        return self._digests[path]

    @property
    def _teacher_digests(self) -> list[list[str]]:
        given = self._job.teacher.checkpoint, self._job.teacher.discriminator
        sources = [split_key(path) for path in given if path is not None]
        return [[*self._digest(path), *([] if key is None else [key])] for path, key in sources]

    @property
    def _network_digests(self) -> list[list[str]]:
        networks = self._job.metrics.networks.values()
        return [self._digest(Path(network.path)) for network in networks if network.path is not None]


def _weights_digest(path: Path) -> list[str]:
    """Return the SHA-256 of the files of a checkpoint or network; empty if there is no file."""
    return [file_sha256(file) for file in files_of(path) if file.is_file()]


def _paths_in(options: Any) -> list[Path]:
    """Return the existing files that options name, such as the network of a loss."""
    if isinstance(options, Mapping):
        options = list(options.values())
    if isinstance(options, list):
        return [path for each in options for path in _paths_in(each)]
    path = Path(options) if isinstance(options, str) and options else None
    return [path] if path is not None and path.is_file() else []


def _without_reporting(options: Any) -> Any:
    """Return options without the intervals of checkpoints, logs and previews."""
    if isinstance(options, list):
        return [_without_reporting(each) for each in options]
    if not isinstance(options, dict):
        return options
    return {name: _without_reporting(each) for name, each in options.items() if name not in _REPORTING}
