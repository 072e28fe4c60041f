"""From what a user names to a page: networks, how their files take inputs, and what else the page shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from gancompress.cli.options import notices
from gancompress.cli.parsing import example_inputs, open_generator
from gancompress.data import Classes
from gancompress.data.transform import Transform
from gancompress.export import ExportReport
from gancompress.export.web import (
    Contents,
    PageNetwork,
    Start,
    drawn_label_maps,
    drawn_scenes,
    kind_of,
    principal_directions,
    read_samples,
    runtime_folder,
    write_page,
)
from gancompress.job import Job, load_job
from gancompress.quantization import Quantization
from gancompress.tasks import FileForm, LatentTask, SemanticTask, Task, find_task, label_map_form

_SIZE = "256x256"


@dataclass(frozen=True)
class PageChoices:
    """What a user may choose about a page; None leaves it to the run, or to what is usual.

    Attributes:
        samples: A folder of inputs to begin with; some are drawn by default.
        start: What a page of images begins with; by default a sketch for paired tasks, else a photo.
        labels: Labels of networks that take label maps, where no run tells.
        size: Height and width, such as "256x256".
        runtime: A folder with the files of onnxruntime-web.
        family: What checkpoints hold, where their tensors do not tell.
    """

    samples: Path | None = None
    start: Start | None = None
    labels: int | None = None
    size: str | None = None
    runtime: Path | None = None
    family: str | None = None


def write_page_of(original: str, compressed: str | None, folder: Path, choices: PageChoices) -> list[ExportReport]:
    """Write the page of one network, of two, or of a run directory: its teacher and what it was compressed to.

    Args:
        original: A run directory, or a network as the command line takes it.
        compressed: Another network.
        folder: Of the page.
        choices: What the user chose.

    Returns:
        Of each network's file, how far it is from eager.

    Raises:
        GanCompressError: In one of its kinds, where the user can mend it.
    """
    runtime = runtime_folder(choices.runtime)
    description = Path(original) / "job.yaml"
    job = load_job(str(description)) if description.is_file() else None
    title = Path(original).resolve().name if job is None else job.name
    if compressed is None and (Path(original) / "teacher").is_dir():
        original, compressed = str(Path(original) / "teacher"), original
    sources = {"original": original} if compressed is None else {"original": original, "compressed": compressed}
    networks = [_network(name, source, job, choices) for name, source in sources.items()]
    return write_page(folder, _contents(title, networks[0], job, choices), networks, runtime, notices.print)


def _network(name: str, source: str, job: Job | None, choices: PageChoices) -> PageNetwork:
    generator = open_generator(source, choices.family, [])
    module, quantization = generator.build(), Quantization.load(source)
    if quantization is not None:
        quantization.attach(module)
    example = example_inputs(generator, choices.size or _usual_size(job), [])
    if job is not None:
        form = find_task(job.task, job.data).file_form(module, example[0])
    elif choices.labels is not None:
        form = label_map_form(module, choices.labels, example[0])
    else:
        form = FileForm(module, example)
    return PageNetwork(name, generator, form, example)


def _usual_size(job: Job | None) -> str:
    """The size of the run's images, where they have one."""
    if job is None:
        return _SIZE
    side, transform = getattr(job.data, "image_size", None), getattr(job.data, "transform", None)
    size = (side, side) if side else transform.view_size if isinstance(transform, Transform) else None
    return _SIZE if size is None else f"{size[0]}x{size[1]}"


def _contents(title: str, network: PageNetwork, job: Job | None, choices: PageChoices) -> Contents:
    task = Task("unpaired", paired=False) if job is None else find_task(job.task, job.data)
    kind = kind_of(network.form)
    if kind == "latent":
        return _latent_contents(title, network, task)
    size = (int(network.form.inputs[0].shape[-2]), int(network.form.inputs[0].shape[-1]))
    if kind == "image":
        start = choices.start or ("sketch" if task.paired else "photo")
        samples = read_samples(choices.samples, size) if choices.samples else drawn_scenes(start, size)
        return Contents(title, start, samples=samples)
    classes = task.classes if isinstance(task, SemanticTask) else Classes(num_classes=int(network.form.facts["labels"]))
    samples = (
        read_samples(choices.samples, size, classes) if choices.samples else drawn_label_maps(classes.num_classes, size)
    )
    return Contents(title, names=classes.shown_names, colours=classes.shown_colours, samples=samples)


def _latent_contents(title: str, network: PageNetwork, task: Task) -> Contents:
    notices.print("looking for directions that change the image most")
    names = task.classes if isinstance(task, LatentTask) else ()
    contents = Contents(title, names=names)
    noise_size = network.form.inputs[0].shape[1] - len(names)
    with torch.enable_grad():
        return replace(contents, directions=principal_directions(network.form.module, noise_size, len(names)))
