"""The command line: one function per verb, which parses, calls and prints."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
import yaml
from rich.console import Console
from rich.table import Table
from torch import Tensor

from gancompress.channels import ChannelGraph, ChannelPlan, trace
from gancompress.cost import Convention, Cost, CostModel, widest_plan
from gancompress.errors import CheckpointError, ConfigError, GanCompressError, Interrupted, PlanError
from gancompress.export import export_generator
from gancompress.importance import find_score
from gancompress.interruption import until_asked_to_stop
from gancompress.job import load_job, recipe_names, recipe_text
from gancompress.models.config_strings import plan_string, widths_from_string
from gancompress.models.families import FAMILIES, build, find_family
from gancompress.models.generator import Generator
from gancompress.models.import_path import is_import_path
from gancompress.models.importers import load_generator
from gancompress.pipeline import Pipeline
from gancompress.report import write_report
from gancompress.steps import prune as prune_generator
from gancompress.summary import summarise

app = typer.Typer(
    name="gancompress",
    help="Compress GAN generators: many times smaller and faster, the same look.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
notices = Console(stderr=True)

Source = Annotated[
    str,
    typer.Argument(help="A directory written by gancompress, a checkpoint, a family's name, or package.module:Class."),
]
SetOption = Annotated[
    list[str],
    typer.Option("--set", metavar="OPTION=VALUE", help="An option of the family, such as ngf=32; repeatable."),
]
FamilyOption = Annotated[
    str | None, typer.Option("--family", help="What a checkpoint holds, where its tensors do not tell.")
]
SizeOption = Annotated[
    str, typer.Option("--size", metavar="HxW", help="Size of the images, height x width, in pixels.")
]
InputOption = Annotated[
    list[str],
    typer.Option("--input", metavar="NxCx...", help="Shape of an input of package.module:Class; repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def main() -> None:
    """Run the command line; what the user can mend is told in one line, with exit status 2."""
    try:
        app()
    except Interrupted as error:
        sys.exit(_complain(str(error), 130))
    except GanCompressError as error:
        sys.exit(_complain(str(error)))
    except OSError as error:
        sys.exit(_complain(f"{error.filename}: {error.strerror}"))


def _complain(message: str, status: int = 2) -> int:
    print(f"gancompress: {message}", file=sys.stderr)
    return status


@app.command()
def inspect(
    source: Source,
    options: SetOption = [],  # noqa: B006
    family: FamilyOption = None,
    size: SizeOption = "256x256",
    inputs: InputOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Show a network's channel groups, parameters, MACs in every convention, and memory."""
    generator = _open(source, family, options)
    shapes = _example_inputs(generator, size, inputs)
    graph = trace(generator.build(), shapes)
    cost = CostModel(graph).at(graph.full_plan())
    if as_json:
        print(json.dumps(_description(generator, graph, cost, shapes), indent=2))
        return
    plan = plan_string(generator.family, generator.config)
    console.print(f"[bold]{generator.family}[/bold]" + (f"  plan {plan}" if plan else ""))
    console.print(_cost_table([("", cost)]))
    table = Table("channel group", "channels", "layers that write it", "layers that read it", box=None)
    for name, group in graph.groups.items():
        layers = (len({n for n, _, _ in graph.members(name, roles)}) for roles in (("out", "depthwise"), ("in",)))
        table.add_row(name, str(group.size), *map(str, layers))
    console.print(table)
    for fixed in graph.fixed:
        console.print(f"[yellow]not followed:[/yellow] {fixed}" if fixed.unfollowed else f"[dim]fixed: {fixed}[/dim]")


@app.command()
def prune(
    source: Source,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for the narrow network.")],
    keep: Annotated[float | None, typer.Option(help="Fraction of every group's channels to keep, 0 to 1.")] = None,
    macs: Annotated[str | None, typer.Option(help="Most MACs, such as 3G or 500M.")] = None,
    plan: Annotated[
        str | None,
        typer.Option(help="The widths: 16_16_32_..., as the papers write them, or a JSON object by channel group."),
    ] = None,
    convention: Annotated[Convention, typer.Option(help="What --macs counts.")] = "true",
    score: Annotated[str, typer.Option(help="What makes a channel important.")] = "l1_incoming",
    multiple: Annotated[int, typer.Option(help="Widths are multiples of this.")] = 8,
    minimum: Annotated[int, typer.Option(help="The narrowest width.")] = 8,
    fixed: Annotated[list[str], typer.Option(help="A channel group to leave at full width; repeatable.")] = [],  # noqa: B006
    options: SetOption = [],  # noqa: B006
    family: FamilyOption = None,
    size: SizeOption = "256x256",
    inputs: InputOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Narrow a network to its most important channels."""
    if sum(choice is not None for choice in (keep, macs, plan)) != 1:
        raise PlanError("prune: expected one of --keep, --macs and --plan, to say how narrow")
    generator = _open(source, family, options)
    shapes = _example_inputs(generator, size, inputs)
    # A plan that is written out is taken as it stands, whatever its multiples.
    multiple, minimum = (multiple, minimum) if plan is None else (1, 1)
    graph = trace(generator.build(), shapes, multiple=multiple, minimum=minimum, fixed=fixed)
    model = CostModel(graph)
    if keep is not None:
        chosen = graph.uniform_plan(keep)
    elif macs is not None:
        chosen = widest_plan(graph, lambda p: model.macs(p).count(convention), _parse_count(macs), f"{convention} MACs")
    else:
        chosen = _parse_plan(generator, graph, plan or "")
    small = prune_generator(generator, graph, chosen, find_score(score))
    small.save(out)
    before, after = model.at(graph.full_plan()), model.at(chosen)
    if as_json:
        print(json.dumps({"directory": str(out), "widths": dict(chosen.widths)} | _cost_json(after), indent=2))
        return
    console.print(_cost_table([("before", before), ("after", after)]))
    console.print(f"written to {out}")


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(help="A directory written by gancompress, or a checkpoint.")],
    format: Annotated[Literal["onnx"], typer.Option("--format", help="Format of the file.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The file; DIR/model.onnx if left out.")
    ] = None,
    family: FamilyOption = None,
    size: SizeOption = "256x256",
    inputs: InputOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Write a network to a file that runs without PyTorch, and check it against PyTorch."""
    if not directory.exists():
        raise CheckpointError(f"{directory}: no such file or directory; expected one that prune or training wrote")
    generator = _open(str(directory), family, [])
    path = out or (directory if directory.is_dir() else directory.parent) / "model.onnx"
    report = export_generator(generator, _example_inputs(generator, size, inputs), path)
    if as_json:
        print(json.dumps({**asdict(report), "path": str(path), "max_difference": report.max_difference}, indent=2))
        return
    table = Table("input", "largest difference from PyTorch", "mean", box=None)
    for case in report.cases:
        shapes = ", ".join("x".join(map(str, shape)) for shape in case.input_shapes)
        table.add_row(shapes, f"{case.max_abs:.1e}", f"{case.mean_abs:.1e}")
    console.print(table)
    console.print(f"written to {path}: {report.file_bytes:,} bytes, opset {report.opset}, any batch and size")


Recipe = Annotated[str, typer.Argument(help="A recipe's name, or the path of a YAML file.")]
RunDirectory = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="The run directory; runs/NAME if left out.")
]
RecipeOption = Annotated[
    list[str],
    typer.Option("--set", metavar="A.B=VALUE", help="An option of the recipe, such as seed=1; repeatable."),
]


@app.command()
def compress(
    recipe: Recipe,
    options: RecipeOption = [],  # noqa: B006
    out: RunDirectory = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe and show it, and do nothing.")] = False,
) -> None:
    """Run a whole job: teacher, steps, measurements, exports, report. The same command resumes."""
    job = load_job(recipe, options)
    if dry_run:
        console.print(yaml.safe_dump(job.model_dump(mode="json"), sort_keys=False), highlight=False)
        return
    directory = out or Path("runs", job.name)
    with until_asked_to_stop(notices.print) as stop:
        pipeline = Pipeline(job, directory, console.print, stop)
        outcome = pipeline.run()
    report = summarise(outcome, pipeline.example())
    write_report(report, directory)
    console.print(_cost_table([("teacher", outcome.teacher.cost), ("compressed", outcome.compressed.cost)]))
    table = Table("metric", "teacher", "compressed", box=None)
    for name, result in outcome.compressed.metrics.items():
        before = outcome.teacher.metrics.get(name)
        table.add_row(name, f"{before.value:.4g}" if before else "", f"{result.value:.4g}")
    console.print(table)
    console.print(f"report: {directory / 'report.html'}")


@app.command()
def train(
    recipe: Recipe,
    options: RecipeOption = [],  # noqa: B006
    out: RunDirectory = None,
) -> None:
    """Train a recipe's teacher alone. The same command resumes, and `compress` goes on from it."""
    job = load_job(recipe, options)
    directory = out or Path("runs", job.name)
    with until_asked_to_stop(notices.print) as stop:
        work = Pipeline(job, directory, console.print, stop).teacher()
    work.teacher.save(directory / "teacher")
    console.print(f"written to {directory / 'teacher'}")


@app.command()
def quickstart(out: RunDirectory = None) -> None:
    """Compress a small generator on data that is drawn on the spot: minutes on two CPU cores, no download."""
    compress("quickstart", [], out, dry_run=False)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    split: Annotated[str, typer.Option(help="The split of the run's data to measure on.")] = "test",
    options: RecipeOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Measure the network of a finished run again, or on another split or with other metrics (--set metrics...)."""
    if not (run / "job.yaml").is_file():
        raise ConfigError(f"{run}: found no job.yaml, expected a run directory that compress has finished")
    job = load_job(str(run / "job.yaml"), options)
    measured = Pipeline(job, run, notices.print).evaluate(split)
    if as_json:
        print(json.dumps({name: result.to_json() for name, result in measured.metrics.items()}, indent=2))
        return
    for result in measured.metrics.values():
        console.print(f"{result}  [dim]{result.protocol}[/dim]", highlight=False)


@app.command()
def recipes(name: Annotated[str | None, typer.Argument(help="A recipe to print.")] = None) -> None:
    """List the recipes that come with gancompress, or print one."""
    if name is not None:
        print(recipe_text(name), end="")
        return
    for known in recipe_names():
        comment = " ".join(line[2:] for line in recipe_text(known).splitlines() if line.startswith("# "))
        console.print(f"[bold]{known}[/bold]  {comment}", highlight=False)


def _open(source: str, family: str | None, options: Sequence[str]) -> Generator:
    """The generator that an argument of the command line names."""
    config = _parse_options(options)
    if Path(source).exists():
        return load_generator(Path(source), family, config or None)
    if source not in FAMILIES and not is_import_path(source):
        known = ", ".join(FAMILIES)
        raise ConfigError(
            f"'{source}': no such file, and no family of this name; "
            f"expected a path, one of {known}, or package.module:Class"
        )
    notices.print(f"{source} names an architecture: its weights are random, from seed 0", style="yellow")
    torch.manual_seed(0)
    return Generator.from_module(build(source, config), source, config)


def _parse_options(options: Sequence[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise ConfigError(f"--set: got '{option}', expected OPTION=VALUE, such as ngf=32")
        try:
            config[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--set: got '{option}', expected a YAML value behind '='") from None
    return config


def _example_inputs(generator: Generator, size: str, inputs: Sequence[str]) -> tuple[Tensor, ...]:
    if is_import_path(generator.family):
        shapes = [_parse_sizes("--input", shape, None) for shape in inputs] or [
            (1, 3, *_parse_sizes("--size", size, 2))
        ]
        return tuple(torch.arange(math.prod(shape), dtype=torch.float32).sin().view(shape) for shape in shapes)
    if inputs:
        raise ConfigError(f"--input: {generator.family} takes an image; say its size with --size HxW")
    height, width = _parse_sizes("--size", size, 2)
    return find_family(generator.family).example_inputs(generator.config, (height, width))


def _parse_sizes(option: str, text: str, count: int | None) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) > 0 for part in parts) or (count is not None and len(parts) != count):
        raise ConfigError(
            f"{option}: got '{text}', expected whole numbers joined by 'x', such as {'256x256' if count else '1x80x64'}"
        )
    return tuple(map(int, parts))


def _parse_count(text: str) -> float:
    unit = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1:].upper(), 1.0)
    try:
        count = float(text[:-1] if unit > 1 else text) * unit
    except ValueError:
        count = math.nan
    if not 0 < count < math.inf:
        raise PlanError(f"--macs: got '{text}', expected a number above 0, with K, M, G or T behind it where wanted")
    return count


def _parse_plan(generator: Generator, graph: ChannelGraph, text: str) -> ChannelPlan:
    if text.lstrip().startswith("{"):
        return graph.plan(ChannelPlan.from_json(text).widths)
    if is_import_path(generator.family):
        raise PlanError(f"--plan: got '{text}', expected a JSON object by channel group for {generator.family}")
    return graph.plan(widths_from_string(find_family(generator.family).parse(generator.config), text))


def _cost_json(cost: Cost) -> dict[str, Any]:
    return {
        "parameters": cost.parameters,
        "parameter_bytes": cost.parameter_bytes,
        "macs": {"true": cost.macs.true, "outsize": cost.macs.outsize, "gc": cost.macs.gc, "gi": cost.macs.gi},
        "peak_activation_bytes": cost.peak_activation_bytes,
    }


def _description(generator: Generator, graph: ChannelGraph, cost: Cost, shapes: Sequence[Tensor]) -> dict[str, Any]:
    return {
        "family": generator.family,
        "config": dict(generator.config),
        "plan": plan_string(generator.family, generator.config),
        "inputs": [list(tensor.shape) for tensor in shapes],
        **_cost_json(cost),
        "groups": {name: group.size for name, group in graph.groups.items()},
        "fixed": [str(fixed) for fixed in graph.fixed if not fixed.unfollowed],
        "not_followed": [str(fixed) for fixed in graph.unfollowed],
    }


def _cost_table(columns: Sequence[tuple[str, Cost]]) -> Table:
    """Costs side by side; behind two columns, how many times smaller the second is."""
    rows = {
        "parameters": lambda c: c.parameters,
        "parameters, bytes": lambda c: c.parameter_bytes,
        "MACs (true)": lambda c: c.macs.true,
        "MACs (outsize)": lambda c: c.macs.outsize,
        "MACs (gc)": lambda c: c.macs.gc,
        "MACs (gi, 1024^3)": lambda c: c.macs.gi,
        "peak activations, bytes": lambda c: c.peak_activation_bytes,
    }
    table = Table("cost", *(name for name, _ in columns), *(["smaller"] if len(columns) == 2 else []), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, read in rows.items():
        values = [read(cost) for _, cost in columns]
        ratio = [f"{values[0] / values[1]:.2f}x"] if len(values) == 2 else []
        table.add_row(name, *(f"{v:,}" if isinstance(v, int) else f"{v:.3f}" for v in values), *ratio)
    return table
