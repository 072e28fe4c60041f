"""Verb ``export``: write a network to one file, to a page, or to every file that this machine can write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from gancompress.cli.export_choices import ExportChoices
from gancompress.cli.options import (
    FamilyOption,
    InputOption,
    JsonOption,
    LabelsOption,
    RangeOption,
    RunSizeOption,
    RuntimeOption,
    SamplesOption,
    SetOption,
    StartOption,
    TrustOption,
    console,
    notices,
)

if TYPE_CHECKING:
    from gancompress.cli.pages import PageChoices
    from gancompress.deploy import ExportReport, PerceptualDistance
    from gancompress.deploy.axes import Inputs
    from gancompress.deploy.benchmark import FileRequest, Written
    from gancompress.deploy.named import NamedNetwork
    from gancompress.networks.file_form import FileForm


def export(
    directory: Annotated[
        Path,
        typer.Argument(
            help="A directory written by gancompress, or a checkpoint; FILE#KEY for one network of several in it."
        ),
    ],
    formats: Annotated[
        list[str],
        typer.Option(
            "--format",
            metavar="NAME",
            help="A format that gancompress runtimes lists, or package.module:RUNTIME; web is a folder with a page. "
            "Repeatable; all stands for every format. Several files are timed and shown in one table.",
        ),
    ] = ["onnx"],  # noqa: B006
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file, or the folder of several; by default DIR/model.onnx, DIR/web or the like, and "
            "CHECKPOINT.onnx beside a checkpoint.",
        ),
    ] = None,
    rewrites: Annotated[
        list[str] | None,
        typer.Option("--rewrite", help="A rewrite for the runtime, or none; repeatable. By default those that help."),
    ] = None,
    precisions: Annotated[
        list[str],
        typer.Option(
            "--precision",
            metavar="NAME",
            help="Precision of the file: fp32, bf16, fp16, int8, as the format supports, or fastest, which times every "
            "precision and writes the fastest within --min-psnr. By default fp32, or integers as trained. Repeatable; "
            "all stands for every precision, as by default with several formats.",
        ),
    ] = [],  # noqa: B006
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="FOLDER",
            help="Images, or label maps, like those that the network will see: for int8 and fastest, and to compare "
            "the file on. By default the training images of a run directory.",
        ),
    ] = None,
    min_psnr: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="For int8 and fastest: smallest PSNR of the output to the float network's; 30 by default.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="For fastest and several files: threads of the runtime; by default the better number. With 1, times "
            "are processor time, which other programs hardly lengthen.",
        ),
    ] = None,
    perceptual: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A network as TorchScript or ONNX: also report the perceptual distance under it."
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(metavar="N", help="Opset of ONNX files, 11 or newer, for runtimes that take no newer one."),
    ] = None,
    options: SetOption = [],  # noqa: B006
    trust: TrustOption = False,
    family: FamilyOption = None,
    image_range: RangeOption = None,
    size: RunSizeOption = None,
    inputs: InputOption = [],  # noqa: B006
    labels: LabelsOption = None,
    samples: SamplesOption = None,
    start: StartOption = None,
    runtime: RuntimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a network to a file for a runtime, and compare the file with PyTorch.

    With several formats or precisions, every file is compared and timed in turns with the original network, and one
    table shows them. If one cannot be written, the others are, and the exit status is 1.
    """
    from gancompress.cli.calibration import calibration_inputs
    from gancompress.cli.pages import PageChoices
    from gancompress.cli.sources import InputChoices, job_of, open_network
    from gancompress.errors import CheckpointError, ConfigError, ExportError
    from gancompress.evaluation import perceptual_distance
    from gancompress.io.source import split_key

    if not split_key(directory)[0].exists():
        raise CheckpointError(f"{directory}: no such file or directory; expected one that prune or training wrote")
    rewrites = None if rewrites is None else [name for name in rewrites if name != "none"]
    choices = ExportChoices(formats, precisions, out, rewrites, calibration, min_psnr, threads, size, opset)
    job = job_of([str(directory)], trust)
    choices.check(has_run=job is not None)
    if choices.is_page:
        if rewrites or inputs:
            raise ExportError(
                f"export: got {'--rewrite' if rewrites else '--input'} for the format '{formats[0]}', expected neither "
                "--rewrite nor --input there"
            )
        page = PageChoices(samples, start, labels, size, runtime, family, image_range, options, trust)
        _write_page(directory, choices, page, as_json)
        return
    chosen = InputChoices(size, inputs, labels, family, image_range, options, trust)
    network = open_network(directory.name, str(directory), job, chosen)
    drawn = network.generator.architecture.is_latent and len(network.form.inputs) == 1
    known = calibration is not None or job is not None or drawn
    wants_images = calibration is not None or (choices.calibrates and (known or not choices.several))
    images = calibration_inputs(network, calibration, directory, job) if wants_images else []
    if perceptual is not None and not images:
        raise ConfigError("--perceptual: got no --calibration, expected a folder of images to compare the file on")
    seen = perceptual_distance(perceptual, "cpu") if perceptual else None
    form = replace(network.form, inputs=tuple(each[:1] for each in images[0])) if images else network.form
    if choices.several:
        _write_several(directory, network, form, choices, images, seen, as_json)
    else:
        _write_one(directory, network, form, choices, images, seen, as_json)


def _write_page(directory: Path, choices: ExportChoices, page: PageChoices, as_json: bool) -> None:
    from gancompress.cli.pages import write_page_of
    from gancompress.cli.sources import export_path
    from gancompress.deploy import find_format
    from gancompress.deploy.web import is_page

    folder = choices.out or export_path(directory, find_format(choices.formats[0])[1].file_name)
    replaced = is_page(folder)
    reports = write_page_of(str(directory), None, folder, page)
    if as_json:
        facts = {"page": str(folder), "replaced": replaced, "networks": [_facts(report) for report in reports]}
        print(json.dumps(facts, indent=2))
        return
    for report in reports:
        _show_cases(report, report.path.name)
    instead = ", in place of the page that was there" if replaced else ""
    console.print(f"written to {folder}{instead}: gancompress demo {folder}, or any web server", soft_wrap=True)


def _request(
    choices: ExportChoices, path: Path, format: str, precision: str | None, images: Sequence[Inputs]
) -> FileRequest:
    from gancompress.deploy import DEFAULT_MIN_PSNR_DB, find_format
    from gancompress.deploy.benchmark import FileRequest

    return FileRequest(
        path=path,
        format=format,
        precision=precision,
        rewrites=choices.rewrites,
        images=images,
        min_psnr_db=DEFAULT_MIN_PSNR_DB if choices.min_psnr_db is None else choices.min_psnr_db,
        threads=choices.threads,
        opset=choices.opset if find_format(format)[1].opsets or not choices.several else None,
    )


def _write_one(
    directory: Path,
    network: NamedNetwork,
    form: FileForm,
    choices: ExportChoices,
    images: Sequence[Inputs],
    perceptual: PerceptualDistance | None,
    as_json: bool,
) -> None:
    from gancompress.cli.sources import export_path
    from gancompress.cli.tables import export_lines, text_table
    from gancompress.deploy import file_name, find_format
    from gancompress.deploy.benchmark import write_file
    from gancompress.report import THAN_FLOAT32, file_table

    format, precision = choices.formats[0], next(iter(choices.precisions), None)
    path = choices.out or export_path(directory, file_name(format, precision))
    replaced = path.exists()
    request = _request(choices, path, format, precision, images)
    report, tried = write_file(network.generator, form, request, perceptual, notices.print)
    if as_json:
        facts = _facts(report) | {"replaced": replaced}
        print(json.dumps(facts | ({"tried": [asdict(each) for each in tried]} if tried else {}), indent=2))
        return
    if tried:
        console.print(text_table(file_table(tried, THAN_FLOAT32)))
    _show_cases(report)
    for line in export_lines(report):
        console.print(line, highlight=False, soft_wrap=True)
    sizes = "any batch and size" if find_format(format)[1].free_sizes else "this batch and size"
    note = f"{report.note}, " if report.note else ""
    instead = ", in place of the file that was there" if replaced else ""
    console.print(f"written to {path}{instead}: {report.file_bytes:,} bytes, {note}{sizes}", soft_wrap=True)


def _write_several(
    directory: Path,
    network: NamedNetwork,
    form: FileForm,
    choices: ExportChoices,
    images: Sequence[Inputs],
    perceptual: PerceptualDistance | None,
    as_json: bool,
) -> None:
    """Write every file that can be written, time them beside the original network, and print one table."""
    from gancompress.cli.sources import export_path
    from gancompress.cli.tables import text_table
    from gancompress.deploy import DEFAULT_MIN_PSNR_DB, file_name
    from gancompress.deploy.benchmark import every_file, rows_of, write_files
    from gancompress.errors import ExportError
    from gancompress.report import THAN_ORIGINAL, file_table, with_best

    pairs, missing = every_file(choices.formats, choices.wanted_precisions, form, calibrated=bool(images))
    if not pairs:
        reasons = "; ".join(f"{name} {reason}" for name, reason in missing.items())
        raise ExportError(f"export: got no format and precision that can be written here: {reasons}")
    paths = [export_path(directory, file_name(*pair)) for pair in pairs]
    paths = [path if choices.out is None else choices.out / path.name for path in paths]
    replaced = [path for path in paths if path.exists()]
    requests = [_request(choices, path, *pair, images) for path, pair in zip(paths, pairs, strict=True)]
    written = write_files(network.generator, form, requests, perceptual, notices.print)
    rows = rows_of(written, _speeds(directory, network, form, choices, written), missing)
    min_psnr_db = DEFAULT_MIN_PSNR_DB if choices.min_psnr_db is None else choices.min_psnr_db
    rows = with_best(rows, min_psnr_db)
    if as_json:
        names = [path.name for path in replaced if path.name not in written.failed]
        print(
            json.dumps({"files": [asdict(row) for row in rows], "replaced": names, "failed": written.failed}, indent=2)
        )
    else:
        console.print(text_table(file_table(rows, THAN_ORIGINAL)), soft_wrap=True)
        if written.reports:
            instead = [report.path.name for report in written.reports if report.path in replaced]
            note = f", in place of what was there: {', '.join(instead)}" if instead else ""
            console.print(f"written to {paths[0].parent}{note}", soft_wrap=True, highlight=False)
    if written.failed:
        raise typer.Exit(1)


def _speeds(
    directory: Path, network: NamedNetwork, form: FileForm, choices: ExportChoices, written: Written
) -> dict[Path, Any]:
    """Time files beside the original: the teacher of a run directory, and else the network itself, in PyTorch."""
    from gancompress.deploy.benchmark import time_files

    if not written.reports:
        return {}
    notices.print("timing the files in turns with the original network in PyTorch")
    with TemporaryDirectory() as folder:
        teacher = directory / "teacher"
        if not teacher.is_dir():
            teacher = Path(folder, "network")
            network.generator.save(teacher)
        how = {"rounds": 6, "threads": choices.threads, "say": notices.print}
        return time_files(teacher, network.example, written.reports, form.inputs, **how)


def _show_cases(report: ExportReport, name: str = "input") -> None:
    if report.not_compared is not None:
        console.print(f"not compared: {report.not_compared}", highlight=False)
        return
    table = Table(name, "largest difference from PyTorch", "mean", box=None)
    for case in report.cases:
        shapes = ", ".join("x".join(map(str, shape)) for shape in case.input_shapes)
        table.add_row(shapes, f"{case.max_abs:.1e}", f"{case.mean_abs:.1e}")
    console.print(table)


def _facts(report: ExportReport) -> dict[str, Any]:
    return {**asdict(report), "path": str(report.path), "max_difference": report.max_difference}
