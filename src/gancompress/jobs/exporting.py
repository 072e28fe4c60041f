"""Files of a job's compressed network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gancompress.deploy import file_name, missing_package
from gancompress.deploy.benchmark import FileRequest, Written, write_files
from gancompress.evaluation import find_perceptual
from gancompress.evaluation.options import MetricOptions
from gancompress.jobs.export_options import ExportOptions
from gancompress.jobs.steps import Work
from gancompress.jobs.teacher_options import TeacherOptions
from gancompress.methods.save_like import save_beside
from gancompress.networks.file_form import FileForm
from gancompress.networks.loadable import loadable
from gancompress.tasks.inputs import Inputs


def skipped_exports(exports: Sequence[ExportOptions]) -> Mapping[str, str]:
    """Return the reason that a file is skipped, by its name: a package is missing."""
    found = ((each, missing_package(each.format)) for each in exports)
    return {file_name(each.format, each.precision): reason for each, reason in found if reason is not None}


def write_exports(
    exports: Sequence[ExportOptions],
    work: Work,
    form: FileForm,
    inputs: Inputs,
    metrics: MetricOptions,
    directory: Path,
    say: Callable[[str], None],
) -> Written:
    """Write the files whose packages are installed.

    Args:
        exports: The files.
        work: The compressed network.
        form: Its file form.
        inputs: Images of the data, for the task; files are calibrated and compared on the training images.
        metrics: Options of the metrics; a perceptual one among them is also measured on the files.
        directory: Directory of the files.
        say: Called with the name of a file that is being written or timed.
    """
    wanted = [each for each in exports if missing_package(each.format) is None]
    if not wanted:
        return Written()
    network = work.build()
    names = (*metrics.against_teacher, *metrics.against_real)
    perceptual = find_perceptual(names, metrics.specs(), "cpu")  # files run on the CPU
    numbers = [each.num_images if each.calibrates else each.num_images // 4 for each in wanted]
    images = {number: inputs.file_inputs(network, number) for number in set(numbers)}
    requests = [
        FileRequest(
            path=directory / file_name(each.format, each.precision),
            format=each.format,
            precision=each.precision,
            rewrites=each.rewrites,
            images=images[number],
            min_psnr_db=each.min_psnr_db,
            threads=each.threads,
            opset=each.opset,
        )
        for each, number in zip(wanted, numbers, strict=True)
    ]
    return write_files(work.generator, form, requests, perceptual, say)


def write_loadable(work: Work, teacher: TeacherOptions, directory: Path, say: Callable[[str], None]) -> Work:
    """Write the compressed network in the layout of the teacher's file, if there is one, and return it in that form.

    Raises:
        ConfigError: The teacher's constructor cannot express its widths, or a program does not open the file.
        CheckpointError: The teacher's file does not hold this network.
        ExportError: The file cannot be written.
    """
    work = replace(work, generator=loadable(work.generator))
    if teacher.checkpoint is not None:
        save_beside(work.generator, teacher.checkpoint, directory, say)
    return work
