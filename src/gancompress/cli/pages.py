"""Web pages from command-line arguments: networks, the inputs of their files, and other contents of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from gancompress.cli.options import notices
from gancompress.cli.sources import InputChoices, job_of, open_network, sources_of
from gancompress.data import Classes
from gancompress.deploy import ExportReport
from gancompress.deploy.named import NamedNetwork
from gancompress.deploy.web import (
    Contents,
    Start,
    drawn_inputs,
    kind_of,
    principal_directions,
    read_samples,
    runtime_folder,
    write_page,
)
from gancompress.jobs.recipe import Job
from gancompress.tasks import LatentTask, SemanticTask, Task, UnpairedTask, find_task


@dataclass(frozen=True)
class PageChoices:
    """Options of a page; None leaves one to the run, or to its default.

    Attributes:
        samples: Folder of initial inputs; some are drawn by default.
        start: Initial input of a page of images; by default a sketch for paired tasks, else a photo.
        labels: Number of labels of networks that take label maps, if no run states it.
        size: Height and width, such as "256x256".
        runtime: Folder with the files of onnxruntime-web.
        family: Family of checkpoints, if their tensors do not tell it.
        image_range: Range of the networks' images, if neither a family nor a file states it.
        options: Options of the family or arguments of the class of checkpoints, each as "OPTION=VALUE".
        trust: Consent to run code that files name.
    """

    samples: Path | None = None
    start: Start | None = None
    labels: int | None = None
    size: str | None = None
    runtime: Path | None = None
    family: str | None = None
    image_range: str | None = None
    options: Sequence[str] = ()
    trust: bool = False


def write_page_of(original: str, compressed: str | None, folder: Path, choices: PageChoices) -> list[ExportReport]:
    """Write the page of one network, of two, or of a run directory: its teacher and its compressed network.

    Args:
        original: A run directory, or a network as the command line takes it.
        compressed: Another network.
        folder: Folder of the page.
        choices: Options of the page.

    Returns:
        The report of each network's file, with its difference from eager.

    Raises:
        GanCompressError: An error that the user can mend, in one of its kinds.
    """
    runtime = runtime_folder(choices.runtime)
    sources = sources_of(original, compressed)
    job = job_of(sources.values(), choices.trust)
    title = Path(original).resolve().name if job is None else job.name
    inputs = InputChoices(
        choices.size,
        labels=choices.labels,
        family=choices.family,
        image_range=choices.image_range,
        options=choices.options,
        trust=choices.trust,
    )
    networks = [open_network(name, source, job, inputs) for name, source in sources.items()]
    return write_page(folder, _contents(title, networks[0], job, choices), networks, runtime, notices.print)


def _contents(title: str, network: NamedNetwork, job: Job | None, choices: PageChoices) -> Contents:
    task = UnpairedTask() if job is None else find_task(job.task, job.data)
    kind, form = kind_of(network.form), network.form
    if kind == "latent":
        return _latent_contents(title, network, task)
    start = choices.start or ("sketch" if task.paired else "photo")
    size = (int(form.inputs[0].shape[-2]), int(form.inputs[0].shape[-1]))
    if kind == "image":
        samples = read_samples(choices.samples, size) if choices.samples else drawn_inputs(form, start)
        return Contents(title, start, samples=samples)
    classes = task.classes if isinstance(task, SemanticTask) else Classes(num_classes=int(form.facts["labels"]))
    samples = read_samples(choices.samples, size, classes) if choices.samples else drawn_inputs(form)
    return Contents(title, names=classes.shown_names, colours=classes.shown_colours, samples=samples)


def _latent_contents(title: str, network: NamedNetwork, task: Task) -> Contents:
    notices.print("looking for directions that change the image most")
    names = task.classes if isinstance(task, LatentTask) else ()
    contents = Contents(title, names=names)
    noise_size = network.form.inputs[0].shape[1] - len(names)
    with torch.enable_grad():
        return replace(contents, directions=principal_directions(network.form.module, noise_size, len(names)))
