"""Finished run of a job: its networks measured again, and their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from accelerate import Accelerator

from gancompress.io.trust import Trust
from gancompress.jobs.measuring import measure
from gancompress.jobs.outcome import Measured
from gancompress.jobs.pictures import draw_latent_pictures
from gancompress.jobs.recipe import Job
from gancompress.jobs.saved_work import load_network
from gancompress.jobs.steps import Work
from gancompress.networks.generator import Generator


class FinishedRun:
    """Run directory that a job has finished.

    Attributes:
        inputs: Images of the job's data, for its task.
        work: The teacher and the compressed network.
    """

    def __init__(self, job: Job, directory: Path, trust: Trust = False) -> None:
        """Load the networks of a run.

        Args:
            job: The job; its metrics may differ from those of the run.
            directory: The run directory.
            trust: Consent to build classes that the run's networks name.

        Raises:
            TrustError: They name a class that is no registered family, without consent.
            CheckpointError: The run has no networks, so it is not finished.
        """
        self._metrics, self._directory, self._device = job.metrics, directory, Accelerator().device
        self.inputs = job.inputs()
        self.work = load_network(directory, Generator.load(directory / "teacher", trust=trust), trust)

    def evaluate(self, split: str, of: Literal["compressed", "teacher"] = "compressed") -> Measured:
        """Evaluate the compressed network, or its teacher, on any split.

        Raises:
            GanCompressError: An error that the user can fix; the subclass tells which.
        """
        work = self.work if of == "compressed" else Work(self.work.teacher, self.work.teacher)
        return measure(work, self.inputs, self._metrics, split, self._device)

    def pictures(self) -> dict[str, str]:
        """Draw pictures of both networks; return their captions by path."""
        return draw_latent_pictures(self.work, self.inputs, self._directory)
