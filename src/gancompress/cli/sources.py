"""Networks and files from command-line arguments, with their input forms and example inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gancompress.cli.options import notices
from gancompress.cli.parsing import example_inputs, open_generator, parse_sizes
from gancompress.data.transform import Transform
from gancompress.deploy.axes import image_size
from gancompress.deploy.contract import from_text
from gancompress.deploy.input_contract import InputContract
from gancompress.deploy.named import NamedFile, NamedNetwork
from gancompress.deploy.runtimes.registry import check_runs_code, open_file, runtime_of
from gancompress.errors import InputSizeError
from gancompress.io.source import split_key
from gancompress.io.trust import Trust
from gancompress.jobs.recipe import Job, load_job
from gancompress.networks.file_form import FileForm, label_map_form
from gancompress.networks.image_format import NOT_DECLARED
from gancompress.networks.label_input import LabelInput
from gancompress.quantization import Quantization
from gancompress.tasks import find_task

_SIZE = "256x256"


@dataclass(frozen=True)
class InputChoices:
    """Options of inputs; None leaves one to the run, or to its default.

    Attributes:
        size: Height and width, such as "256x256".
        shapes: Shape of every input, such as "1x512", if a size does not determine it.
        labels: Number of labels of networks that take label maps, if no run states it.
        family: Family of checkpoints, if their tensors do not tell it.
        image_range: Range of the networks' images, such as "0..1", if neither a family nor a file states it.
        options: Options of the family or arguments of the class of checkpoints, each as "OPTION=VALUE".
        trust: Consent to run code that files name.
    """

    size: str | None = None
    shapes: Sequence[str] = ()
    labels: int | None = None
    family: str | None = None
    image_range: str | None = None
    options: Sequence[str] = ()
    trust: bool = False


def sources_of(original: str, compressed: str | None) -> dict[str, str]:
    """Return one network or two by name; for a run directory alone, its teacher is the original."""
    if compressed is None and (Path(original) / "teacher").is_dir():
        original, compressed = str(Path(original) / "teacher"), original
    return {"original": original} | ({} if compressed is None else {"compressed": compressed})


def job_of(sources: Iterable[str], trust: Trust = False) -> Job | None:
    """Return the job of the first run directory among the sources. Raises TrustError if it names code to run."""
    descriptions = (Path(source) / "job.yaml" for source in sources)
    return next((load_job(str(each), trust=trust) for each in descriptions if each.is_file()), None)


def is_file_to_run(source: str) -> bool:
    """Return whether a source is an exported file."""
    return runtime_of(Path(source)) is not None and Path(source).is_file()


def export_path(source: Path, file: str) -> Path:
    """Return the default path of a file: in the network's directory, or beside a checkpoint and named after it.

    Args:
        source: A directory, a checkpoint, or ``FILE#KEY``.
        file: Default name of the file, such as ``model.onnx``.
    """
    path, key = split_key(source)
    if path.is_dir():
        return path / (file if key is None else f"{key}.{file.removeprefix('model.')}")
    name = path.stem if key is None else f"{path.stem}.{key}"
    return path.with_name(f"{name}.{file.removeprefix('model.')}")


def open_network(name: str, source: str, job: Job | None, choices: InputChoices) -> NamedNetwork:
    """Open a network that a command-line argument names.

    Args:
        name: Name of the network in tables and files.
        source: The argument.
        job: Job of its run, which defines the form of its inputs.
        choices: Options of the inputs.

    Raises:
        GanCompressError: An error that the user can mend, in one of its kinds.
    """
    generator = open_generator(source, choices.family, choices.options, choices.image_range, trust=choices.trust)
    of_tensors = job is not None and not job.data.holds_images and not choices.shapes
    if generator.architecture.images is None and not choices.shapes and not of_tensors:
        notices.print(f"{source}: {generator.family} {NOT_DECLARED}; say otherwise with --range", soft_wrap=True)
    quantization = Quantization.load(source)
    module = generator.build_on_weights() if quantization is None else generator.build()
    if quantization is not None:
        quantization.attach(module)
    if job is not None and of_tensors:
        form = job.inputs().file_form(module)
        return NamedNetwork(name, generator, form, form.inputs)
    example = example_inputs(generator, choices.size or _usual_size(job), choices.shapes)
    if job is not None and len(example) == 1:
        form = find_task(job.task, job.data).file_form(module, example[0])
    elif choices.labels is not None:
        form = label_map_form(module, choices.labels, example[0])
    else:
        form = FileForm(module, example)
    if isinstance(form.module, LabelInput):
        example = (form.module.channels(*form.inputs),)
    return NamedNetwork(name, generator, form, example)


def open_exported(name: str, source: str, job: Job | None, choices: InputChoices) -> NamedFile:
    """Open an exported file that a command-line argument names; arguments as those of `open_network`.

    Raises:
        ConfigError: The file does not state the sizes of its inputs.
        InputSizeError: It does not take images of this size.
        ExportError: Its runtime is missing, or refuses it.
    """
    path = Path(source)
    check_runs_code(path, choices.trust)
    runner = open_file(path)
    takes = InputContract(path, from_text(runner.metadata), runner.inputs)
    height, width = parse_sizes("--size", choices.size or _usual_size(job), 2)
    inputs = takes.examples((height, width), [parse_sizes("--input", shape, None) for shape in choices.shapes])
    found = image_size(inputs)
    if choices.size is not None and not choices.shapes and found not in (None, (height, width)):
        raise InputSizeError(
            f"{path}: got --size {choices.size}, expected {found[0]}x{found[1]}, the size that the file was exported "
            "for; leave --size out, or export it with free sizes"
        )
    return NamedFile(name, path, takes, inputs)


def _usual_size(job: Job | None) -> str:
    """Return the size of the run's images, or the default size if it has none."""
    if job is None:
        return _SIZE
    side, transform = getattr(job.data, "image_size", None), getattr(job.data, "transform", None)
    size = (side, side) if side else transform.view_size if isinstance(transform, Transform) else None
    return _SIZE if size is None else f"{size[0]}x{size[1]}"
