"""Verb ``latency``: compare architectures by their latency on a runtime."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from gancompress.cli.options import JsonOption, SetOption, SizeOption, console, notices

if TYPE_CHECKING:
    from gancompress.deploy.latency import Ranked


def latency(
    family: Annotated[str, typer.Argument(help="The family of the networks, such as resnet.")],
    vary: Annotated[
        list[str], typer.Option("--vary", metavar="OPTION=A,B", help="An option with its values; repeatable.")
    ] = [],  # noqa: B006
    options: SetOption = [],  # noqa: B006
    runtime: Annotated[
        str, typer.Option(help="A runtime that gancompress runtimes lists, or package.module:RUNTIME.")
    ] = "onnxruntime",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the runtime.")] = None,
    budget: Annotated[float | None, typer.Option("--ms", min=0, help="The most milliseconds of one image.")] = None,
    size: SizeOption = "256x256",
    as_json: JsonOption = False,
) -> None:
    """Time every combination of a family's options on a runtime, to find the student that fits a time."""
    from gancompress.cli.parsing import parse_options
    from gancompress.deploy.latency import Target, rank
    from gancompress.networks.generator import Generator
    from gancompress.networks.registry import build

    target = Target(runtime, threads)
    target.mode("--runtime")  # refuses an unknown runtime before anything is built
    networks = []
    for name, config in _combinations(vary):
        config = {**parse_options(options), **config}
        networks.append((name, Generator.from_module(build(family, config), family, config)))
    height, width = _size(size)
    (example,) = networks[0][1].architecture.example_inputs((height, width))
    ranked = rank(networks, example, target, budget, say=notices.print)
    if as_json:
        print(json.dumps({"device": target.device(), "networks": [asdict(each) for each in ranked]}, indent=2))
        return
    console.print(_table(ranked, str(target), budget))


def _combinations(vary: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return every combination of values, with its name."""
    from gancompress.cli.parsing import parse_options
    from gancompress.errors import ConfigError

    choices: list[list[tuple[str, Any]]] = []
    for option in vary:
        name, equals, values = option.partition("=")
        if not equals or not all(values.split(",")):
            raise ConfigError(f"--vary: got '{option}', expected OPTION=VALUE,VALUE, such as tail=full_size,half_size")
        choices.append([(name, parse_options([f"{name}={value}"])[name]) for value in values.split(",")])
    return [(" ".join(f"{k}={v}" for k, v in each) or "as it is", dict(each)) for each in product(*choices)]


def _size(text: str) -> tuple[int, int]:
    from gancompress.cli.parsing import parse_sizes

    height, width = parse_sizes("--size", text, 2)
    return height, width


def _table(ranked: list[Ranked], target: str, budget: float | None) -> Table:
    table = Table(target, "ms", "MACs (true)", "parameters", *([] if budget is None else [f"within {budget:g} ms"]))
    table.box = None
    for column in table.columns[1:]:
        column.justify = "right"
    for each in ranked:
        fits = [] if budget is None else ["yes" if each.fits else "no"]
        table.add_row(each.name, f"{each.ms:.2f}", f"{each.macs:,}", f"{each.parameters:,}", *fits)
    return table
