"""Files of a job's compressed network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gancompress.deploy import (
    ExportReport,
    PerceptualDistance,
    Precision,
    export_generator,
    file_name,
    missing_package,
)
from gancompress.deploy.axes import Inputs as FileInputs
from gancompress.deploy.benchmark import export_fastest
from gancompress.errors import GanCompressError, Interrupted
from gancompress.evaluation import find_perceptual
from gancompress.evaluation.options import MetricOptions
from gancompress.io.source import split_key
from gancompress.jobs.export_options import ExportOptions
from gancompress.jobs.steps import Work
from gancompress.jobs.teacher_options import TeacherOptions
from gancompress.methods.save_like import save_like
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.loadable import loadable
from gancompress.report import TriedFile
from gancompress.tasks.inputs import Inputs


def write_exports(
    exports: Sequence[ExportOptions],
    work: Work,
    form: FileForm,
    inputs: Inputs,
    metrics: MetricOptions,
    directory: Path,
    say: Callable[[str], None],
) -> tuple[tuple[ExportReport, ...], Mapping[Path, Sequence[TriedFile]], Mapping[str, str]]:
    """Write the files whose packages are installed.

    Args:
        exports: The files.
        work: The compressed network.
        form: Its file form.
        inputs: Images of the data, for the task; files are calibrated and compared on the training images.
        metrics: Options of the metrics; a perceptual one among them is also measured on the files.
        directory: Directory of the files.
        say: Called with the name of a file that is being timed.

    Returns:
        The exported files, the candidates of those that were chosen by timing, and the reason that a file could not be
        written, by its name: no fault of one file costs the report and the other files.
    """
    wanted = [each for each in exports if missing_package(each.format) is None]
    if not wanted:
        return (), {}, {}
    network = work.build()
    names = (*metrics.against_teacher, *metrics.against_real)
    perceptual = find_perceptual(names, metrics.specs(), "cpu")  # files run on the CPU
    numbers = [each.num_images if each.calibrates else each.num_images // 4 for each in wanted]
    images = {number: inputs.file_inputs(network, number) for number in set(numbers)}
    reports, tried, failed = [], {}, {}
    for each, number in zip(wanted, numbers, strict=True):
        path = directory / file_name(each.format, each.precision)
        try:
            report, trials = _write(each, path, work.generator, form, images[number], perceptual, say)
        except Interrupted:
            raise
        except Exception as error:
            failed[path.name] = str(error)
            if not isinstance(error, GanCompressError):
                logging.getLogger(__name__).exception("export of %s", path.name)
            continue
        reports.append(report)
        tried |= {path: trials} if trials else {}
    return tuple(reports), tried, failed


def _write(
    options: ExportOptions,
    path: Path,
    generator: Generator,
    form: FileForm,
    images: Sequence[FileInputs],
    perceptual: PerceptualDistance | None,
    say: Callable[[str], None],
) -> tuple[ExportReport, Sequence[TriedFile]]:
    """Write one file; return its report and the candidates of which it was chosen by timing."""
    if options.is_chosen_by_timing:
        what = generator, form, path, options.format, images, options.min_psnr_db
        found = export_fastest(*what, perceptual=perceptual, threads=options.threads, say=say)
        return found.report, found.tried
    precision = Precision(options.precision or "fp32", images, options.min_psnr_db)
    return export_generator(generator, form, path, options.format, options.rewrites, precision, perceptual), ()


def write_loadable(work: Work, teacher: TeacherOptions, directory: Path, say: Callable[[str], None]) -> Work:
    """Write the compressed network in the layout of the teacher's file, if there is one, and return it in that form.

    Raises:
        ConfigError: The teacher's constructor cannot express its widths, or a program does not open the file.
        CheckpointError: The teacher's file does not hold this network.
        ExportError: The file cannot be written.
    """
    work = replace(work, generator=loadable(work.generator))
    original = None if teacher.checkpoint is None else split_key(teacher.checkpoint)[0]
    if original is not None and original.is_file():
        path = directory / f"loadable{original.suffix}"
        lines = save_like(work.generator, teacher.checkpoint or original, path)
        say(f"written to {path}: {'; '.join(lines)}")
    return work
