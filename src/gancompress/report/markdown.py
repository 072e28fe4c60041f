"""Report as Markdown: the same words and figures, in tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from gancompress.report.comparison import Cell, closeness, comparison, headline, times_faster
from gancompress.report.data import ExportFacts, Report, Samples, SearchFacts, StepFacts
from gancompress.report.files import THAN_FLOAT32, FileTable, file_table, report_files
from gancompress.report.front import certainty, pareto_front
from gancompress.report.wording import MISSING, compact, duration, environment_rows, significant


def render_markdown(report: Report, directory: Path) -> str:
    """Return the whole document.

    Args:
        report: The report to render.
        directory: Directory of the document; the path of the samples is relative to it.
    """
    blocks = [
        f"# {_text(report.title)}",
        *_headline(report),
        "## Samples",
        _samples(report, directory),
        *(_picture(picture, directory) for picture in report.pictures),
        "## Before and after",
        f"MACs, memory and latency for an input of {_text(report.input_size or 'a size that was not recorded')}.",
        *_comparison(report),
        *_notes(report.notes),
        "## Use it",
        *_files(report_files(report)),
        *([block for export in report.exports for block in _export(export)] or ["Nothing was exported."]),
        "## Search",
        *_search(report.search),
        "## Steps",
        _steps(report.steps),
        "## How it was made",
        _table(("", ""), [("seed", str(report.seed)), *environment_rows(report.environment).items()]),
        "### Recipe",
        _fenced(report.recipe, "yaml"),
    ]
    return "\n\n".join(blocks) + "\n"


def _headline(report: Report) -> list[str]:
    lines = [f"* **{_text(f'{figure} {label}')}**: {_text(detail)}" for figure, label, detail in headline(report)]
    return ["\n".join(lines) or "There is nothing to compare: the report needs a teacher and a compressed network."]


def _samples(report: Report, directory: Path) -> str:
    return "No samples were recorded." if report.samples is None else _picture(report.samples, directory, "sample grid")


def _picture(picture: Samples, directory: Path, kind: str = "picture") -> str:
    if not (directory / picture.path).is_file():
        return f"The {kind} {_text(picture.path)} was not found."
    return f"![{_text(picture.caption)}]({quote(picture.path)})"


def _comparison(report: Report) -> Iterable[str]:
    for title, rows in comparison(report).items():
        yield f"### {title}"
        cells = [(f"{row.label} ({row.note})" if row.note else row.label, *map(_cell, row.cells)) for row in rows]
        yield _table(("", *(network.name for network in report.networks)), cells) if rows else MISSING


def _cell(cell: Cell) -> str:
    figure = f"{cell.figure} ({cell.spread})" if cell.spread else cell.figure
    return f"{figure}, {cell.change}" if cell.change else figure


def _notes(notes: Sequence[str]) -> list[str]:
    return ["## Before you believe a figure", "\n".join(f"* {_text(note)}" for note in notes)] if notes else []


def _files(table: FileTable | None) -> list[str]:
    if table is None:
        return []
    measured = [*filter(None, [table.caption]), _table(table.head, table.rows)] if table.rows else []
    reasons = "\n".join(f"* {_text(name)}: {_text(reason)}" for name, reason in table.reasons)
    return [*measured, *filter(None, [reasons])]


def _export(export: ExportFacts) -> list[str]:
    if export.max_difference is None:
        compared = ": ".join(filter(None, ("not compared with PyTorch", export.not_compared)))
    else:
        compared = f"largest difference from PyTorch {significant(export.max_difference, 2)}"
    if export.psnr_db is not None:
        compared += f"; {closeness(export.psnr_db)}"
    if export.perceptual is not None:
        compared += f"; perceptual distance {significant(export.perceptual, 2)}"
    if export.speed is not None:
        compared += f"; {_text(times_faster(export.speed))}"
    facts = f"{_text(export.path)}, {compact(export.file_bytes, 'B')}; {compared}"
    tried = _files(file_table(export.tried, THAN_FLOAT32) if export.tried else None)
    return [f"### {_text(export.format)}", facts, *tried, _fenced(export.usage.strip(), "python")]


def _search(search: SearchFacts | None) -> list[str]:
    if search is None:
        return ["This job had no search."]
    front = pareto_front(search.candidates, search.better)
    budget = "none" if search.budget is None else compact(search.budget)
    rows = [
        (candidate.plan, compact(candidate.cost), significant(candidate.value, 4), "chosen" if candidate.chosen else "")
        for candidate in [*front, *(c for c in search.candidates if c.chosen and c not in front)]
    ]
    return [
        f"{len(search.candidates)} plans measured, {len(front)} of them on the Pareto front; budget: {budget}.",
        *([" ".join(map(_text, sentences))] if (sentences := certainty(search)) else []),
        _table(("plan", search.cost_name, f"{search.metric}, {search.better} is better", ""), rows),
    ]


def _steps(steps: Sequence[StepFacts]) -> str:
    if not steps:
        return "No steps were recorded."
    rows = [
        (
            *(step.name, step.kind, f"{step.num_images:,}" if step.num_images else "", duration(step.seconds)),
            *("" if step.images_per_second is None else significant(step.images_per_second), step.note),
        )
        for step in steps
    ]
    return _table(("step", "kind", "images", "time", "images per second", "note"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell if cell == "---" else _text(cell) for cell in line) + " |" for line in lines
    )


def _text(text: str) -> str:
    """Return text on one line with all markup escaped."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"[\\`*~|\[\]#]|(?<![a-zA-Z0-9])_|_(?![a-zA-Z0-9])", r"\\\g<0>", text)


def _fenced(code: str, language: str) -> str:
    """Return a block of code, in a fence longer than any that it contains."""
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", code)), default=0))
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"
