"""Verb ``bench``: time networks on real runtimes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gancompress.cli.options import (
    FamilyOption,
    InputOption,
    JsonOption,
    LabelsOption,
    RangeOption,
    RunSizeOption,
    SetOption,
    TrustOption,
    console,
    notices,
)

if TYPE_CHECKING:
    from gancompress.deploy.benchmark import Bench, Timing


def bench(
    original: Annotated[
        str,
        typer.Argument(
            help="A directory written by gancompress, a checkpoint, a family's name, package.module:Class, or an "
            "exported file."
        ),
    ],
    compressed: Annotated[
        str | None,
        typer.Argument(help="Another one. Left out for a run directory: its teacher is the original."),
    ] = None,
    runtimes: Annotated[
        list[str] | None,
        typer.Option(
            "--runtime",
            metavar="NAME",
            help="A runtime that gancompress runtimes lists, or package.module:RUNTIME; repeatable.",
        ),
    ] = None,
    batches: Annotated[list[int], typer.Option("--batch", min=1, help="Images at once; repeatable.")] = [1],  # noqa: B006
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each network on each runtime.")] = 10,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Threads of each runtime. With 1, times are processor time, which other programs hardly lengthen.",
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the latencies to a PNG.")] = None,
    size: RunSizeOption = None,
    inputs: InputOption = [],  # noqa: B006
    labels: LabelsOption = None,
    options: SetOption = [],  # noqa: B006
    family: FamilyOption = None,
    image_range: RangeOption = None,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Time networks and files on runtimes, in turns: latency, throughput, memory, size, time by operator."""
    from gancompress.cli.sources import (
        InputChoices,
        is_file_to_run,
        job_of,
        open_exported,
        open_network,
        sources_of,
    )
    from gancompress.deploy.benchmark import available_runtimes
    from gancompress.deploy.benchmark import bench as measured
    from gancompress.deploy.benchmark.plot import draw

    choices = InputChoices(size, inputs, labels, family, image_range, options, trust)
    sources = sources_of(original, compressed)
    job = job_of(sources.values(), trust)
    candidates = [
        (open_exported if is_file_to_run(source) else open_network)(name, source, job, choices)
        for name, source in sources.items()
    ]
    chosen = available_runtimes(candidates) if runtimes is None else runtimes
    result = measured(candidates, chosen, batches, rounds=rounds, threads=threads, say=notices.print)
    if plot is not None:
        draw(result, plot)
    if as_json:
        print(json.dumps(asdict(result), indent=2))
        return
    console.print(_times(result))
    console.print(_ratios(result))
    if any(timing.operators_ms for timing in result.timings):
        console.print(_operators(result))


def _times(bench: Bench) -> Table:
    table = _table(
        "processor time" if bench.processor_time else "latency", "ms", "p10 to p90", "images/s", "memory MB", "disk MB"
    )
    for timing in bench.timings:
        latency, memory = timing.latency_ms, timing.peak_bytes
        table.add_row(
            *_place(timing),
            f"{latency.median:.2f}",
            f"{latency.p10:.2f} to {latency.p90:.2f}",
            f"{timing.images_per_second:.1f}",
            "" if memory is None else f"{memory / 1e6:.0f}",
            f"{timing.disk_bytes / 1e6:.2f}",
        )
    return table


def _ratios(bench: Bench) -> Table:
    first = bench.timings[0].network
    table = _table("times faster (quartiles)", f"than {first}", f"than {first} in eager")
    for timing in bench.timings:
        ratios = (timing.faster, timing.faster_than_eager)
        table.add_row(
            *_place(timing), *("" if r is None else f"{r[0]:.2f}x ({r[1]:.2f} to {r[2]:.2f})" for r in ratios)
        )
    return table


def _operators(bench: Bench) -> Table:
    """Return a table of the shares of the time by class of operator, for timings that have a profile."""
    profiled = [timing for timing in bench.timings if timing.operators_ms]
    names = list(dict.fromkeys(name for timing in profiled for name in timing.operators_ms or {}))
    table = _table("where the time goes", *names)
    for timing in profiled:
        spent = timing.operators_ms or {}
        total = sum(spent.values())
        table.add_row(*_place(timing), *(f"{100 * spent.get(name, 0.0) / total:.0f} %" for name in names))
    return table


def _table(head: str, *columns: str) -> Table:
    table = Table(head, "network", "batch", *columns, box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    return table


def _place(timing: Timing) -> tuple[str, str, str]:
    return timing.runtime, timing.network, str(timing.batch)
