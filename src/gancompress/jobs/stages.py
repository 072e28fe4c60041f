"""Stages of a run: each step with its directory, whose name holds the step's fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gancompress.io.json_files import read_object
from gancompress.jobs.fingerprint import Fingerprints
from gancompress.jobs.recipe import Job
from gancompress.jobs.steps import Step

DONE_FILE = "done.json"
"""Record of a finished step, with the SHA-256 of its networks; a step whose directory holds it whole is finished."""


@dataclass(frozen=True)
class Stage:
    """A step with its position in a run.

    Attributes:
        name: Either ``teacher``, or number and kind.
        place: Position among the steps, in words.
        step: The step.
        directory: Directory of the step; its name holds the fingerprint of everything that the result depends on.
    """

    name: str
    place: str
    step: Step
    directory: Path

    @property
    def record(self) -> dict[str, Any] | None:
        """Record of the finished step; None if it is not finished, or its record is damaged."""
        found = read_object(self.directory / DONE_FILE)
        types = {"step": str, "kind": str, "directory": str, "seconds": int | float}
        whole = found is not None and all(isinstance(found.get(name), kind) for name, kind in types.items())
        return found if whole else None

    @property
    def state(self) -> Literal["done", "begun", "new"]:
        """State of its directory."""
        if self.record is not None:
            return "done"
        return "begun" if self.directory.is_dir() else "new"

    @property
    def replaced(self) -> list[Path]:
        """Directories of finished steps of this name with another fingerprint."""
        done = sorted(self.directory.parent.glob(f"{self.name}-*/{DONE_FILE}"))
        return [file.parent for file in done if file.parent != self.directory]


class Stages:
    """Stages of a job in a run directory. Fingerprints are computed when first needed, as files may be missing."""

    def __init__(self, job: Job, directory: Path) -> None:
        """Take the job and its run directory."""
        self._job, self._directory = job, directory
        self._fingerprints = Fingerprints(job)

    def teacher(self) -> Stage | None:
        """Return the training of the teacher; None if the teacher exists already."""
        training = self._job.teacher.training
        if training is None:
            return None
        return self._stage("teacher", f"before {len(self._job.steps)} steps", training, [])

    def steps(self) -> list[Stage]:
        """Return the steps of the recipe."""
        steps = self._job.steps
        return [
            self._stage(f"{number}-{step.kind}", f"step {number} of {len(steps)}", step, steps[:number])
            for number, step in enumerate(steps, start=1)
        ]

    def _stage(self, name: str, place: str, step: Step, until: Sequence[Step]) -> Stage:
        return Stage(name, place, step, self._directory / "steps" / f"{name}-{self._fingerprints.of(until)[:8]}")
