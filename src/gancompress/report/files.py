"""Table of files: size, speed and quality of each, the best one marked, and the reasons for those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isinf
from typing import NamedTuple

from gancompress.report.comparison import fastest_file, fastest_of
from gancompress.report.data import ExportFacts, FileRow, Report
from gancompress.report.wording import compact, significant

THAN_ORIGINAL = "the original in PyTorch"
"""Network that speedups refer to where files are compared across runtimes."""

THAN_FLOAT32 = "the float32 file"
"""Network that speedups refer to where the precisions of one format are compared."""


class FileTable(NamedTuple):
    """Table of text; columns without a value, and files without any, are left out.

    Attributes:
        caption: Meaning of the figures; empty if there are none.
        head: Titles of the columns.
        rows: Cells of each file.
        reasons: Files that lack figures, and the reason of each.
    """

    caption: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    reasons: list[tuple[str, str]]


def file_table(files: Sequence[FileRow], than: str) -> FileTable:
    """Return the table of some files.

    Args:
        files: The files.
        than: Network that the speedups refer to, in words.
    """
    columns: dict[str, Callable[[FileRow], str]] = {
        "file": lambda row: row.name,
        "size": lambda row: "" if row.file_bytes is None else compact(row.file_bytes, "B"),
        "ms": lambda row: "" if row.time_ms is None else f"{row.time_ms.median:.2f}",
        "threads": lambda row: "" if row.threads is None or row.processor_time else str(row.threads),
        "times faster": _faster,
        "PSNR, dB": lambda row: "" if row.psnr_db is None else "equal" if isinf(row.psnr_db) else f"{row.psnr_db:.1f}",
        "perceptual": lambda row: "" if row.perceptual is None else significant(row.perceptual, 2),
        "": lambda row: "best" if row.best else "",
    }
    reasons = [(row.name, row.reason) for row in files if row.reason and not row.best]
    measured = [row for row in files if any(read(row) for title, read in columns.items() if title != "file")]
    cells = {title: [read(row) for row in measured] for title, read in columns.items()}
    shown = {title: each for title, each in cells.items() if any(each)}
    clock = ", in processor time of one thread" if any(row.processor_time for row in files) else ""
    caption = f"Times faster than {than}{clock}: median and quartiles over turns on this machine."
    return FileTable(caption if "ms" in shown else "", tuple(shown), list(zip(*shown.values(), strict=True)), reasons)


def with_best(files: Sequence[FileRow], min_psnr_db: float) -> list[FileRow]:
    """Mark the fastest of the files that are close enough to the float network, see `fastest_of` for ties.

    Args:
        files: The files; none is marked if none was timed.
        min_psnr_db: The smallest peak signal-to-noise ratio; files that were not compared on images pass.
    """
    timed = [row for row in files if row.faster and (row.psnr_db is None or row.psnr_db >= min_psnr_db)]
    best = fastest_row(timed)
    return [replace(row, best=row is best) for row in files]


def fastest_row(files: Sequence[FileRow]) -> FileRow | None:
    """Return the row of the fastest file, see `fastest_of`; None if there are none.

    Args:
        files: Files that were timed.
    """
    return fastest_of(files, lambda row: (row.faster or 0, row.faster_low), lambda row: row.psnr_db)


def report_files(report: Report) -> FileTable | None:
    """Return the table of a report's files; None if it would say no more than the file's own section."""
    best = fastest_file(report)
    rows = [_row(each, best is not None and each is best[0]) for each in report.exports]
    rows += FileRow.refused(report.not_exported)
    return file_table(rows, THAN_ORIGINAL) if len(rows) > 1 or report.not_exported else None


def _row(export: ExportFacts, best: bool) -> FileRow:
    row = FileRow(
        export.path,
        psnr_db=export.psnr_db,
        best=best,
        file_bytes=export.file_bytes,
        perceptual=export.perceptual,
        reason=f"not compared: {export.not_compared}" if export.not_compared else "",
    )
    return row.timed(export.speed)


def _faster(row: FileRow) -> str:
    if row.faster is None:
        return ""
    if row.faster_low is None or row.faster_high is None:
        return _factor(row.faster)
    return f"{_factor(row.faster)} ({_factor(row.faster_low)} to {_factor(row.faster_high)})"


def _factor(value: float) -> str:
    """Format a factor with three digits, and more before the point: "0.94", "14.7", "326"."""
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"
