"""Writer of a report in all its formats."""

from __future__ import annotations

import json
from pathlib import Path

from gancompress.io import write_atomically
from gancompress.report.comparison import headline_lines
from gancompress.report.data import Report
from gancompress.report.html import render_html
from gancompress.report.markdown import render_markdown


def write_report(report: Report, directory: Path) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``report.json`` into a directory, each atomically.

    Returns:
        The paths of the three files, the page first.
    """
    directory.mkdir(parents=True, exist_ok=True)
    contents = {
        "report.html": render_html(report, directory),
        "report.md": render_markdown(report, directory),
        "report.json": json.dumps(
            {"headline": headline_lines(report), **report.to_json()}, indent=2, ensure_ascii=False, allow_nan=False
        )
        + "\n",
    }
    for name, content in contents.items():
        write_atomically(directory / name, content.encode())
    return [directory / name for name in contents]
