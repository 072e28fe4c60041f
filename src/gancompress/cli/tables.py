"""Tables and JSON of costs, latencies and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from torch import Tensor

from gancompress.channels import ChannelGraph
from gancompress.cli.options import console
from gancompress.cost import Cost
from gancompress.networks.generator import Generator

if TYPE_CHECKING:
    from gancompress.deploy import ExportReport
    from gancompress.evaluation import MetricResult
    from gancompress.report import FileTable, Latency


def cost_json(cost: Cost) -> dict[str, Any]:
    """Return a cost for JSON."""
    return {
        "parameters": cost.parameters,
        "parameter_bytes": cost.parameter_bytes,
        "macs": {"true": cost.macs.true, "outsize": cost.macs.outsize, "gc": cost.macs.gc, "gi": cost.macs.gi},
        "peak_activation_bytes": cost.peak_activation_bytes,
    }


def description(generator: Generator, graph: ChannelGraph, cost: Cost, shapes: Sequence[Tensor]) -> dict[str, Any]:
    """Return a description of a network for JSON."""
    return {
        "family": generator.family,
        "config": dict(generator.config),
        "plan": generator.architecture.plan_string(),
        "inputs": [list(tensor.shape) for tensor in shapes],
        **cost_json(cost),
        "groups": {name: group.size for name, group in graph.groups.items()},
        "blocks": list(graph.blocks),
        **({"folded": list(generator.architecture.folded)} if generator.architecture.folded else {}),
        "fixed": [str(fixed) for fixed in graph.fixed if not fixed.unfollowed],
        "not_followed": [str(fixed) for fixed in graph.unfollowed],
    }


def cost_table(columns: Sequence[tuple[str, Cost]]) -> Table:
    """Return a table of costs side by side; for two columns, with the ratio of the first to the second."""
    rows = {
        "parameters": lambda c: c.parameters,
        "parameters, bytes": lambda c: c.parameter_bytes,
        "MACs (true)": lambda c: c.macs.true,
        "MACs (outsize)": lambda c: c.macs.outsize,
        "MACs (gc)": lambda c: c.macs.gc,
        "MACs (gi, 1024^3)": lambda c: c.macs.gi,
        "peak activations, bytes": lambda c: c.peak_activation_bytes,
    }
    table = _table("cost", [name for name, _ in columns], "smaller")
    for name, read in rows.items():
        values = [read(cost) for _, cost in columns]
        shown = (f"{v:,}" if isinstance(v, int) else f"{v:.3f}" for v in values)
        table.add_row(name, *shown, *_ratio(values))
    return table


def latency_table(columns: Sequence[tuple[str, Latency]], runtime: str, shape: str) -> Table:
    """Return a table of latencies side by side; for two columns, with the ratio of the first to the second."""
    table = _table(f"latency of {shape}, ms: {runtime}", [name for name, _ in columns], "faster")
    for name, read in {
        "median": lambda latency: latency.median,
        "10th percentile": lambda latency: latency.p10,
        "90th percentile": lambda latency: latency.p90,
    }.items():
        values = [read(latency) for _, latency in columns]
        table.add_row(name, *(f"{value:.2f}" for value in values), *_ratio(values))
    return table


def metric_table(teacher: Mapping[str, MetricResult], compressed: Mapping[str, MetricResult]) -> Table:
    """Return a table of the metrics of both networks, as far as they have them."""
    table = _table("metric", ["teacher", "compressed"], "")
    for name, result in compressed.items():
        before = teacher.get(name)
        table.add_row(name, f"{before.value:.4g}" if before else "", f"{result.value:.4g}")
    return table


def _table(head: str, columns: Sequence[str], comparison: str) -> Table:
    """Return a table without lines, with figures aligned to the right."""
    table = Table(head, *columns, *([comparison] if len(columns) == 2 and comparison else []), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _ratio(values: Sequence[float]) -> list[str]:
    return [f"{values[0] / values[1]:.2f}x"] if len(values) == 2 else []


def export_lines(report: ExportReport) -> Iterator[str]:
    """Yield lines on rewrites, float layers, and the closeness of the file to the float network."""
    for change in report.rewrites:
        effect = f"{len(change.layers)} layers" if change.layers else change.note or "nothing to change"
        yield f"{change.rewrite}: {effect}"
    if report.float_layers:
        yield f"in float: {', '.join(report.float_layers)}"
    if report.quality is not None:
        quality = report.quality
        unseen = "" if report.precision == "fp16" and report.float_layers else " that nothing was chosen by"
        line = (
            f"{report.precision} against PyTorch in float32, {quality.num_images} images{unseen}: "
            f"PSNR {quality.psnr_db:.1f} dB, mean difference {quality.mean_abs:.1e}"
        )
        yield line + ("" if quality.perceptual is None else f", perceptual distance {quality.perceptual:.2g}")


def text_table(table: FileTable) -> RenderableType:
    """Return a table of files for the terminal, with the reasons of those without figures in lines below it."""
    shown = Table(box=None, padding=(0, 1, 0, 0), caption=table.caption or None, caption_justify="left")
    for title in table.head:
        shown.add_column(title, no_wrap=title != "times faster")  # a narrow terminal breaks its quartiles
    for row in table.rows:
        shown.add_row(*map(escape, row))
    if not console.is_terminal:  # a log has no width that cells would have to be cut to
        shown.width = console.measure(shown, options=console.options.update_width(500)).maximum
    reasons = [Text(f"{name}: {reason}") for name, reason in table.reasons]
    return Group(*([shown] if table.rows else []), *reasons)
