"""Plots as inline SVG whose colours and fonts the surrounding page sets."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from gancompress.io import write_atomically
from gancompress.report.data import Candidate, SearchFacts, StepFacts
from gancompress.report.front import pareto_front
from gancompress.report.wording import compact

PALETTE = {"ink": "#24292f", "muted": "#6b7280", "line": "#d9dce1", "accent": "#0f766e", "warm": "#c2410c"}
"""Colour of each role. In the SVG each is the fallback of the CSS variable of its role: ``var(--ink, #24292f)``."""

Losses = Sequence[tuple[int, Mapping[str, float]]]

_LOG_FROM = 20  # a range of this factor and more reads better on a logarithmic axis
_SMOOTHING = 15  # a smoothed point averages this fraction of the curve, 1 / 15
_PANEL_INCHES = (4.2, 2.6)  # width and height of one plot of a picture, with its margins
_MARGINS_INCHES = (1.0, 0.2, 0.5, 0.35)  # left, right, bottom, top: room for ticks of 10 characters, and for titles
_MAX_POINTS = 400  # more points than this are drawn as the extremes of short stretches

_MADE_INLINE = (
    (r"<metadata>.*?</metadata>\s*", ""),
    (r"<style.*?</style>\s*", ""),  # it would apply to the whole page
    (r'<g id="[^"]*"', "<g"),
    (r'(\bid="|href="#|url\(#)', r"\g<1>NAME-"),
    (r"font-family: [^;]*;", "font-family: inherit;"),
    (r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">'),
    (r"\bxlink:href=", "href="),
)


def front_svg(search: SearchFacts, name: str, width_px: int = 720, height_px: int = 380) -> str:
    """Plot every candidate by cost and quality, with the Pareto front, the budget and the chosen plan.

    Args:
        search: The candidates of the search.
        name: Prefix of the identifiers inside, different for every SVG of a page.
        width_px: Width; text is 12 px high at this width.
        height_px: Height.
    """
    figure, axes = _canvas(width_px, height_px)
    finite = [candidate for candidate in search.candidates if np.isfinite(candidate.value)]
    costs, values = _points(finite)
    front = _points(pareto_front(finite, search.better))
    chosen = _points([candidate for candidate in finite if candidate.chosen])
    axes.scatter(costs, values, s=16, color=PALETTE["muted"], alpha=0.45, linewidths=0)
    axes.step(*front, where="post", color=PALETTE["accent"], linewidth=1.2, alpha=0.6)
    axes.scatter(*front, s=26, color=PALETTE["accent"], linewidths=0, zorder=3)
    axes.scatter(*chosen, s=120, facecolors="none", edgecolors=PALETTE["warm"], linewidths=2.2, zorder=4)
    limits = []
    if search.budget is not None:
        limits = [search.budget]
        axes.axvline(search.budget, color=PALETTE["warm"], linewidth=1.2, dashes=(5, 4))
    _scale(axes.xaxis, [*costs, *limits], num_ticks=width_px // 90)
    _scale(axes.yaxis, values, num_ticks=height_px // 60)
    return _inline(figure, name)


def _points(candidates: Sequence[Candidate]) -> tuple[list[float], list[float]]:
    return [candidate.cost for candidate in candidates], [candidate.value for candidate in candidates]


def loss_svgs(step: StepFacts, name: str, width_px: int = 300, height_px: int = 170) -> dict[str, str]:
    """Plot each loss term of a step: the raw curve, faint, and its moving average.

    Args:
        step: The step; values that are not finite are dropped.
        name: Prefix of the identifiers inside, different for every step of a page.
        width_px: Width of one plot; text is 12 px high at this width.
        height_px: Height of one plot.
    """
    svgs = {}
    for index, (term, points) in enumerate(_curves(step.losses).items()):
        figure, axes = _canvas(width_px, height_px)
        _draw_losses(axes, points)
        svgs[term] = _inline(figure, f"{name}-{index}")
    return svgs


def losses_png(losses: Losses, path: Path) -> None:
    """Write one picture with a plot for each loss term: the raw curve, faint, and its moving average.

    Args:
        losses: ``(num_images, {term: value})`` in order, at least one; values that are not finite are dropped.
        path: The PNG, written atomically.
    """
    curves = _curves(losses)
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    width, height = _PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows
    figure = Figure(figsize=(width, height))
    left, right, bottom, top = _MARGINS_INCHES
    for index, (term, points) in enumerate(curves.items()):
        row, column = divmod(index, columns)
        x = _PANEL_INCHES[0] * column + left
        y = height - _PANEL_INCHES[1] * (row + 1) + bottom
        size = ((_PANEL_INCHES[0] - left - right) / width, (_PANEL_INCHES[1] - bottom - top) / height)
        axes = figure.add_axes((x / width, y / height, *size))  # a layout engine would measure every text twice
        axes.set_title(term, loc="left", fontsize=12, color=PALETTE["ink"])
        _style(axes)
        _draw_losses(axes, points)
    figure.supxlabel("images", y=0.05 / height, fontsize=12, color=PALETTE["muted"])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white", dpi=100)
    write_atomically(path, buffer.getvalue())


def _curves(losses: Losses) -> dict[str, list[tuple[int, float]]]:
    """Return the finite values of each term, by the number of images."""
    terms = dict.fromkeys(term for _, values in losses for term in values)
    return {
        term: [(images, values[term]) for images, values in losses if np.isfinite(values.get(term, np.nan))]
        for term in terms
    }


def _draw_losses(axes: Axes, points: Sequence[tuple[int, float]]) -> None:
    images, values = np.array(points, dtype=float).reshape(-1, 2).T
    for curve, alpha, linewidth in ((values, 0.3, 0.8), (smoothed(values), 1.0, 1.8)):
        kept = _extremes(curve)
        axes.plot(images[kept], curve[kept], color=PALETTE["accent"], alpha=alpha, linewidth=linewidth)
    _scale(axes.xaxis, [], num_ticks=3)
    _scale(axes.yaxis, values, num_ticks=4)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Return the centred moving average over a fifteenth of the curve, with a shorter window at the ends."""
    window = np.ones(min(len(values), 2 * (len(values) // _SMOOTHING // 2) + 1))
    if len(window) <= 1:
        return values
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


def _extremes(values: np.ndarray) -> np.ndarray:
    """Return indices that draw the curve: all, or for a long one the extremes of each short stretch."""
    indices = np.arange(len(values))
    if len(values) <= _MAX_POINTS:
        return indices
    stretches = np.array_split(indices, _MAX_POINTS // 2)
    return np.unique([stretch[pick(values[stretch])] for stretch in stretches for pick in (np.argmin, np.argmax)])


def _canvas(width_px: int, height_px: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_px / 72, height_px / 72), layout="constrained")
    axes = figure.add_subplot()
    _style(axes)
    return figure, axes


def _style(axes: Axes) -> None:
    axes.grid(color=PALETTE["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=12, labelcolor=PALETTE["muted"], pad=5)
    axes.margins(0.04, 0.08)


def _scale(axis: Axis, values: Sequence[float] | np.ndarray, num_ticks: int) -> None:
    """Set a linear axis, or a logarithmic one if all values are positive and span a large factor."""
    if len(values) and min(values) > 0 and max(values) / min(values) >= _LOG_FROM:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # pyright: ignore[reportAttributeAccessIssue]
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=num_ticks))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(num_ticks, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))


def _tick(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else re.sub(r"\.?0+(?= |$)", "", compact(value)) or "0"


def _inline(figure: Figure, name: str) -> str:
    """Return the figure as a themed, scalable ``<svg>`` element, hidden from screen readers, with unique ids."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for pattern, replacement in _MADE_INLINE:
        svg = re.sub(pattern, replacement.replace("NAME", name), svg, flags=re.DOTALL)
    for role, colour in PALETTE.items():
        svg = svg.replace(colour, f"var(--{role}, {colour})")
    return svg
