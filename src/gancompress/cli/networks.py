"""Verbs that inspect a network, narrow it and export it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

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
    SizeOption,
    Source,
    StartOption,
    TrustOption,
    console,
    notices,
)

if TYPE_CHECKING:
    from gancompress.deploy import ExportReport
    from gancompress.networks.generator import Generator
    from gancompress.report import TriedFile


def inspect(
    source: Source,
    options: SetOption = [],  # noqa: B006
    family: FamilyOption = None,
    image_range: RangeOption = None,
    size: SizeOption = "256x256",
    inputs: InputOption = [],  # noqa: B006
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a network's channel groups, parameters, MACs in every convention, and memory."""
    from gancompress.channels import trace
    from gancompress.cli.parsing import example_inputs, open_generator
    from gancompress.cli.tables import cost_table, description
    from gancompress.cost import CostModel

    generator = open_generator(source, family, options, image_range, trust=trust)
    shapes, network = example_inputs(generator, size, inputs), generator.skeleton()
    on_meta = any(parameter.is_meta for parameter in network.parameters())
    graph = trace(network, [each.to("meta") for each in shapes] if on_meta else shapes)
    cost = CostModel(graph).at(graph.full_plan())
    if as_json:
        print(json.dumps(description(generator, graph, cost, shapes), indent=2))
        return
    plan = generator.architecture.plan_string()
    console.print(f"[bold]{generator.family}[/bold]" + (f"  plan {plan}" if plan else ""))
    console.print(cost_table([("", cost)]))
    table = Table("channel group", "channels", "layers that write it", "layers that read it", box=None)
    for name, group in graph.groups.items():
        layers = (len({n for n, _, _ in graph.members(name, roles)}) for roles in (("out", "depthwise"), ("in",)))
        table.add_row(name, str(group.size), *map(str, layers))
    console.print(table)
    for fixed in graph.fixed:
        console.print(f"[yellow]not followed:[/yellow] {fixed}" if fixed.unfollowed else f"[dim]fixed: {fixed}[/dim]")


def prune(
    source: Source,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for the narrow network.")],
    keep: Annotated[float | None, typer.Option(help="Fraction of every group's channels to keep, 0 to 1.")] = None,
    macs: Annotated[str | None, typer.Option(help="Most MACs, such as 3G or 500M.")] = None,
    plan: Annotated[
        str | None,
        typer.Option(help="The widths: 16_16_32_..., as the papers write them, or a JSON object by channel group."),
    ] = None,
    convention: Annotated[str, typer.Option(help="What --macs counts: true, outsize, gc or gi MACs.")] = "true",
    score: Annotated[
        str, typer.Option(help="What makes a channel important: a name, or '{kind: content_aware, mask: ellipse}'.")
    ] = "l1_incoming",
    images: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Images for scores that run a network of images.")
    ] = None,
    multiple: Annotated[int, typer.Option(help="Widths are multiples of this.")] = 8,
    minimum: Annotated[int, typer.Option(help="The narrowest width.")] = 8,
    refit: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Solve for the layers that are left by least squares, on images (label maps with --labels) like those "
            "that the network will see. A network from noise draws its own; name any folder.",
        ),
    ] = None,
    refit_images: Annotated[int, typer.Option(min=2, help="Images for --refit, a 96x96 crop of each.")] = 64,
    labels: LabelsOption = None,
    fixed: Annotated[list[str], typer.Option(help="A channel group to leave at full width; repeatable.")] = [],  # noqa: B006
    loadable: Annotated[
        bool,
        typer.Option(
            "--loadable",
            help="Keep widths in the form that the network's constructor can express, and also write a file that opens "
            "where the original does.",
        ),
    ] = False,
    options: SetOption = [],  # noqa: B006
    family: FamilyOption = None,
    image_range: RangeOption = None,
    size: SizeOption = "256x256",
    inputs: InputOption = [],  # noqa: B006
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Narrow a network to its most important channels."""
    from gancompress.channels import trace
    from gancompress.cli.parsing import (
        example_inputs,
        open_generator,
        parse_convention,
        parse_count,
        parse_plan,
        parse_score_text,
        probe_of,
    )
    from gancompress.cli.tables import cost_json, cost_table
    from gancompress.cost import CostModel, widest_plan
    from gancompress.errors import PlanError
    from gancompress.importance import find_score
    from gancompress.methods.generators import refitted, sort
    from gancompress.networks.cut import cut
    from gancompress.networks.loadable import loadable as in_loadable_form
    from gancompress.networks.loadable import loadable_slots

    if sum(choice is not None for choice in (keep, macs, plan)) != 1:
        raise PlanError("prune: expected one of --keep, --macs and --plan, to say how narrow")
    counted = parse_convention(convention)
    generator = open_generator(source, family, options, image_range, trust=trust)
    shapes = example_inputs(generator, size, inputs)
    # An explicit plan is used unchanged, whatever its multiples.
    multiple, minimum = (multiple, minimum) if plan is None else (1, 1)
    graph = trace(generator.build(), shapes, multiple=multiple, minimum=minimum, fixed=fixed)
    if loadable:
        graph = replace(graph, slots=loadable_slots(generator, graph))
    model = CostModel(graph)
    if keep is not None:
        chosen = graph.uniform_plan(keep)
    elif macs is not None:
        chosen = widest_plan(graph, lambda p: model.macs(p).count(counted), parse_count(macs), f"{counted} MACs")
    else:
        chosen = parse_plan(generator, graph, plan or "")
    running = find_score(parse_score_text(score), probe_of(generator, shapes, images))
    wide = sort(generator, graph, running)
    small, report = cut(wide, graph, chosen), None
    if refit is not None:
        from gancompress.cli.calibration import refit_inputs

        given = refit_inputs(generator, refit, shapes, labels, refit_images)
        small, report = refitted(small, wide, graph, chosen, given)
    like = None
    if loadable:
        small = in_loadable_form(small)
        like = _save_like(small, source, out)
    small.save(out)
    before, after = model.at(graph.full_plan()), model.at(chosen)
    if as_json:
        facts = {} if report is None else {"refit": asdict(report)}
        written = {
            "directory": str(out),
            "widths": dict(chosen.widths),
            **({} if like is None else {"file": str(like)}),
        }
        print(json.dumps(written | cost_json(after) | facts, indent=2))
        return
    console.print(cost_table([("before", before), ("after", after)]))
    if report is not None:
        console.print(str(report), soft_wrap=True)
    console.print(f"written to {out}")


def _save_like(small: Generator, source: str, out: Path) -> Path | None:
    """Write a loadable network beside its directory's files, in the layout of its source if that is a file."""
    from gancompress.io.source import split_key
    from gancompress.methods.save_like import save_like

    original = split_key(source)[0]
    if not original.is_file():
        return None
    path = out / f"loadable{original.suffix}"
    lines = save_like(small, source, path)
    notices.print(f"written to {path}: {'; '.join(lines)}", highlight=False, soft_wrap=True)
    return path


def export(
    directory: Annotated[
        Path,
        typer.Argument(
            help="A directory written by gancompress, or a checkpoint; FILE#KEY for one network of several in it."
        ),
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="A format that gancompress runtimes lists, or package.module:RUNTIME; web is a folder with a page.",
        ),
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file; by default DIR/model.onnx, DIR/web or the like, and CHECKPOINT.onnx beside a checkpoint.",
        ),
    ] = None,
    rewrites: Annotated[
        list[str] | None,
        typer.Option("--rewrite", help="A rewrite for the runtime, or none; repeatable. By default those that help."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Precision of the file: fp32, bf16, fp16, int8, as the format supports, or fastest, which times every "
            "precision and writes the fastest within --min-psnr. By default fp32, or integers as trained.",
        ),
    ] = None,
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
        int | None, typer.Option(min=1, help="For fastest: threads of the runtime; its own choice by default.")
    ] = None,
    perceptual: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A network as TorchScript or ONNX: also report the perceptual distance under it."
        ),
    ] = None,
    options: SetOption = [],  # noqa: B006
    family: FamilyOption = None,
    image_range: RangeOption = None,
    size: RunSizeOption = None,
    inputs: InputOption = [],  # noqa: B006
    labels: LabelsOption = None,
    samples: SamplesOption = None,
    start: StartOption = None,
    runtime: RuntimeOption = None,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a network to a file in the form that its runtime likes, and check it against PyTorch."""
    from gancompress.cli.calibration import calibration_inputs
    from gancompress.cli.pages import PageChoices, write_page_of
    from gancompress.cli.sources import InputChoices, export_path, job_of, open_network
    from gancompress.cli.tables import export_lines, tried_table
    from gancompress.deploy import (
        DEFAULT_MIN_PSNR_DB,
        Precision,
        export_generator,
        file_name,
        find_compute_type,
        find_format,
    )
    from gancompress.deploy.benchmark import FASTEST, export_fastest
    from gancompress.errors import CheckpointError, ConfigError, ExportError
    from gancompress.evaluation import perceptual_distance
    from gancompress.io.source import split_key

    if not split_key(directory)[0].exists():
        raise CheckpointError(f"{directory}: no such file or directory; expected one that prune or training wrote")
    _, kind = find_format(format, "--format")
    if kind.page:
        if rewrites or inputs:
            given = "--rewrite" if rewrites else "--input"
            raise ExportError(
                f"export: got {given} for the format '{kind.name}', expected neither --rewrite nor --input there"
            )
        folder = out or export_path(directory, kind.file_name)
        choices = PageChoices(samples, start, labels, size, runtime, family, image_range, options, trust)
        _show_page(write_page_of(str(directory), None, folder, choices), folder, as_json)
        return
    if precision not in (None, FASTEST):
        find_compute_type(kind, precision, "--precision")
    calibrates = precision == FASTEST or kind.calibrates(precision)
    if rewrites and precision == FASTEST:
        raise ConfigError("--rewrite: got rewrites with --precision fastest, which chooses them itself; remove it")
    if min_psnr is not None and not calibrates:
        raise ConfigError("--min-psnr: got it without --precision int8 or fastest, expected one of the two")
    if threads is not None and precision != FASTEST:
        raise ConfigError("--threads: got it without --precision fastest, expected that; no other precision is timed")
    job = job_of([str(directory)], trust)
    if calibrates and job is not None and calibration is None and size is not None:
        raise ConfigError(
            f"--size: got {size} with the run's own images, expected their size; remove --size, or give --calibration"
        )
    choices = InputChoices(size, inputs, labels, family, image_range, options, trust)
    network = open_network(directory.name, str(directory), job, choices)
    path = out or export_path(directory, file_name(format, precision))
    replaced = path.exists()
    chosen = None if rewrites is None else [name for name in rewrites if name != "none"]
    images = calibration_inputs(network, calibration, directory, job) if calibrates or calibration else []
    if perceptual is not None and not images:
        raise ConfigError("--perceptual: got no --calibration, expected a folder of images to compare the file on")
    seen = perceptual_distance(perceptual, "cpu") if perceptual else None
    form = replace(network.form, inputs=tuple(each[:1] for each in images[0])) if images else network.form
    wanted_psnr = DEFAULT_MIN_PSNR_DB if min_psnr is None else min_psnr
    tried: tuple[TriedFile, ...] = ()
    if precision == FASTEST:
        how = {"perceptual": seen, "threads": threads, "say": notices.print}
        found = export_fastest(network.generator, form, path, format, images, wanted_psnr, **how)
        report, tried = found.report, found.tried
    else:
        wanted = Precision(precision or "fp32", images, wanted_psnr)
        report = export_generator(network.generator, form, path, format, chosen, wanted, seen)
    if as_json:
        print(
            json.dumps(
                _facts(report)
                | {"replaced": replaced}
                | ({"tried": [asdict(each) for each in tried]} if tried else {}),
                indent=2,
            )
        )
        return
    if tried:
        console.print(tried_table(tried))
    _show_cases(report)
    for line in export_lines(report):
        console.print(line, highlight=False, soft_wrap=True)
    sizes = "any batch and size" if kind.free_sizes else "this batch and size"
    note = f"{report.note}, " if report.note else ""
    instead = ", in place of the file that was there" if replaced else ""
    console.print(f"written to {path}{instead}: {report.file_bytes:,} bytes, {note}{sizes}", soft_wrap=True)


def _show_page(reports: Sequence[ExportReport], folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"page": str(folder), "networks": [_facts(report) for report in reports]}, indent=2))
        return
    for report in reports:
        _show_cases(report, report.path.name)
    console.print(f"written to {folder}: gancompress demo {folder}, or any web server", soft_wrap=True)


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
