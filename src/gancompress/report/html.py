"""Report as one self-contained HTML page: styles, plots and pictures are inside."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gancompress.report import comparison, files, wording
from gancompress.report.data import COMPRESSED, TEACHER, Report, Samples
from gancompress.report.front import certainty, pareto_front
from gancompress.report.plots import front_svg, loss_svgs


def _breakable(name: str) -> Markup:
    """Return a long name that may break after each underscore."""
    return Markup("_<wbr>").join(name.split("_"))


_TEMPLATES = Environment(
    loader=PackageLoader("gancompress.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    breakable=_breakable,
    compact=wording.compact,
    significant=wording.significant,
    duration=wording.duration,
    closeness=comparison.closeness,
    times_faster=comparison.times_faster,
    tried=lambda rows: files.file_table(rows, files.THAN_FLOAT32),
)


def render_html(report: Report, directory: Path) -> str:
    """Return the whole page.

    Args:
        report: The report to render.
        directory: Directory of the page; the path of the samples is relative to it.
    """
    return _TEMPLATES.get_template("report.html").render(
        report=report,
        teacher=report.network(TEACHER),
        compressed=report.network(COMPRESSED),
        headline=comparison.headline(report),
        groups=comparison.comparison(report),
        environment=wording.environment_rows(report.environment),
        front=pareto_front(report.search.candidates, report.search.better) if report.search else [],
        certainty=certainty(report.search) if report.search else [],
        front_plots=_front_plots(report),
        curves=[_curves(report, index) for index in range(len(report.steps))],
        samples_uri=_data_uri(report.samples, directory),
        picture_uris=[_data_uri(picture, directory) for picture in report.pictures],
        missing=wording.MISSING,
        files=files.report_files(report),
    )


def _front_plots(report: Report) -> dict[str, Markup]:
    """Return the plot for a wide and for a narrow page; the style sheet shows one of them."""
    if report.search is None or not report.search.candidates:
        return {}
    return {
        "wide": Markup(front_svg(report.search, "front-wide")),
        "narrow": Markup(front_svg(report.search, "front-narrow", width_px=350, height_px=300)),
    }


def _curves(report: Report, index: int) -> dict[str, Markup]:
    plots = loss_svgs(report.steps[index], f"loss-{index}")
    return {term: Markup(svg) for term, svg in plots.items()}


def _data_uri(samples: Samples | None, directory: Path) -> str | None:
    """Return the sample grid as a ``data:`` URI; None if there is no such file."""
    if samples is None or not (directory / samples.path).is_file():
        return None
    return "data:image/png;base64," + base64.b64encode((directory / samples.path).read_bytes()).decode()
