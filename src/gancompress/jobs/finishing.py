"""End of a job: the compressed network saved, measured, exported and drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from gancompress.jobs.exporting import skipped_exports, write_exports, write_loadable
from gancompress.jobs.measuring import measure
from gancompress.jobs.outcome import Outcome
from gancompress.jobs.pictures import draw_latent_pictures, draw_samples
from gancompress.jobs.recipe import Job
from gancompress.jobs.saved_work import save_network
from gancompress.jobs.steps import Work
from gancompress.tasks.inputs import Inputs


def finish(
    work: Work,
    job: Job,
    inputs: Inputs,
    directory: Path,
    records: tuple[Mapping[str, Any], ...],
    device: torch.device,
    say: Callable[[str], None],
    do: Callable[[str], None],
) -> Outcome:
    """Save, measure, export and draw the compressed network.

    Args:
        work: State of the work after the last step.
        job: The job.
        inputs: Images of the job's data, for its task.
        directory: The run directory.
        records: Records of the steps.
        device: Device on which networks are measured.
        say: Receives messages.
        do: Shows the current activity.

    Raises:
        GanCompressError: An error that the user can fix; the subclass tells which.
    """
    if job.loadable:
        work = write_loadable(work, job.teacher, directory, say)
    save_network(work, directory)
    do("measuring teacher and compressed network on test")
    both = Work(work.teacher, work.teacher), work
    teacher, compressed = (measure(each, inputs, job.metrics, device=device) for each in both)
    do("writing files")
    form = inputs.file_form(work.build())
    files = write_exports(job.exports, work, form, inputs, job.metrics, directory / "exports", do)
    draw_samples(work, inputs, directory)
    pictures = draw_latent_pictures(work, inputs, directory)
    do("timing networks and files")
    measured = teacher, compressed, files, records, pictures, form.inputs, skipped_exports(job.exports)
    return Outcome(job, directory, *measured)
