"""Writing of several files of one generator: a file that fails costs no other one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gancompress.deploy import (
    DEFAULT_MIN_PSNR_DB,
    ExportReport,
    PerceptualDistance,
    Precision,
    export_generator,
    find_format,
    known_formats,
    missing_package,
    parts_note,
)
from gancompress.deploy.axes import Inputs
from gancompress.deploy.benchmark.fastest import FASTEST, export_fastest
from gancompress.errors import GanCompressError, Interrupted
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.quantization import quantized_layers
from gancompress.report import FileRow, FileSpeed

ALL = "all"
"""Every format, or every precision of a format."""


@dataclass(frozen=True, kw_only=True)
class FileRequest:
    """A file to write.

    Attributes:
        path: The file.
        format: A name in `gancompress.deploy.known_formats`, or the import path of a `gancompress.deploy.Runtime`.
        precision: A precision of the format, or ``fastest``; by default float32, or integers as trained.
        rewrites: Rewrites; by default those of the format.
        images: Inputs for calibration, and for the comparison with the float network.
        min_psnr_db: Required closeness of integers, and of the fastest file.
        threads: Threads of the runtime for ``fastest``; by default the better number for each file.
        opset: Opset of ONNX; the exporter's own by default.
    """

    path: Path
    format: str
    precision: str | None = None
    rewrites: Sequence[str] | None = None
    images: Sequence[Inputs] = ()
    min_psnr_db: float = DEFAULT_MIN_PSNR_DB
    threads: int | None = None
    opset: int | None = None


@dataclass(frozen=True)
class Written:
    """Written files, and those that were not.

    Attributes:
        reports: Report of each file.
        tried: Candidates of the files that were chosen by timing, by the file's path.
        failed: Reason that a file could not be written, by its name.
    """

    reports: tuple[ExportReport, ...] = ()
    tried: Mapping[Path, Sequence[FileRow]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def write_file(
    generator: Generator,
    form: FileForm,
    request: FileRequest,
    perceptual: PerceptualDistance | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[ExportReport, tuple[FileRow, ...]]:
    """Write one file; return its report, and the candidates if it was chosen by timing.

    Args:
        generator: The generator.
        form: Form in which the file takes its inputs.
        request: The file.
        perceptual: Perceptual distance to report with PSNR.
        say: Reports progress.

    Raises:
        GanCompressError: See `export_generator` and `export_fastest`.
    """
    path, format, images = request.path, request.format, request.images
    if (line := parts_note(generator, form, images)) is not None:
        say(line)
    if request.precision == FASTEST:
        how = {"perceptual": perceptual, "threads": request.threads, "opset": request.opset, "say": say}
        found = export_fastest(generator, form, path, format, images, request.min_psnr_db, **how)
        return found.report, found.tried
    precision = Precision(request.precision or "fp32", images, request.min_psnr_db)
    what = generator, form, path, format, request.rewrites, precision, perceptual
    return export_generator(*what, opset=request.opset), ()


def write_files(
    generator: Generator,
    form: FileForm,
    requests: Sequence[FileRequest],
    perceptual: PerceptualDistance | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Written:
    """Write files one after the other; arguments as those of `write_file`.

    A bug in an exporter is logged with its traceback, and counts as the reason of one file, too.
    """
    reports: list[ExportReport] = []
    tried: dict[Path, Sequence[FileRow]] = {}
    failed: dict[str, str] = {}
    said: set[str] = set()

    def once(line: str) -> None:
        if line not in said:
            said.add(line)
            say(line)

    for request in requests:
        say(f"writing {request.path.name}")
        try:
            report, trials = write_file(generator, form, request, perceptual, once)
        except Interrupted:
            raise
        except Exception as error:
            failed[request.path.name] = str(error)
            if not isinstance(error, GanCompressError):
                logging.getLogger(__name__).exception("export of %s", request.path.name)
            continue
        reports.append(report)
        tried |= {request.path: trials} if trials else {}
    return Written(tuple(reports), tried, failed)


def every_file(
    formats: Sequence[str], precisions: Sequence[str], form: FileForm, *, calibrated: bool
) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the formats and precisions that can be written, and the reason for each that cannot.

    Args:
        formats: Names of formats; ``all`` stands for every one but pages.
        precisions: Names of precisions; ``all`` stands for every one of a format.
        form: Form in which the files take their inputs.
        calibrated: Whether there are images to calibrate integers on.

    Returns:
        Pairs of a format and a precision, and reasons by format, or by format and precision: "onnx, int8".
    """
    wanted: list[tuple[str, str]] = []
    missing: dict[str, str] = {}
    trained = bool(quantized_layers(form.module))
    for name in dict.fromkeys(each for given in formats for each in (known_formats() if given == ALL else (given,))):
        kind = find_format(name, "--format")[1]
        if (package := missing_package(name)) is not None:
            missing[name] = package
            continue
        for precision in dict.fromkeys(
            each for given in precisions for each in (kind.precisions if given == ALL else (given,))
        ):
            if precision != FASTEST and precision not in kind.precisions:
                missing[f"{name}, {precision}"] = f"the format has {' and '.join(kind.precisions)} only"
            elif (precision == FASTEST or kind.calibrates(precision)) and not calibrated:
                missing[f"{name}, {precision}"] = "needs --calibration, a folder of images like those it will see"
            elif (
                trained
                and not kind.calibrates(precision)
                and not (precision == "fp32" and kind.stores_trained_integers)
            ):
                missing[f"{name}, {precision}"] = "the network was trained in integers"
            else:
                wanted.append((name, precision))
    return wanted, missing


def rows_of(written: Written, speeds: Mapping[Path, FileSpeed], reasons: Mapping[str, str]) -> list[FileRow]:
    """Return the rows of the table of files, without a mark at the best one.

    Args:
        written: The files.
        speeds: Speeds of those that were timed, by path.
        reasons: Reasons that further files were not tried, by name.
    """
    return [_row(report, speeds.get(report.path)) for report in written.reports] + FileRow.refused(
        {**written.failed, **reasons}
    )


def _row(report: ExportReport, speed: FileSpeed | None) -> FileRow:
    quality = report.quality
    row = FileRow(
        report.path.name,
        psnr_db=quality and quality.psnr_db,
        file_bytes=report.file_bytes,
        perceptual=quality and quality.perceptual,
        reason=f"not compared: {report.not_compared}" if report.not_compared else "",
    )
    return row.timed(speed)
