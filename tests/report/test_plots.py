from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gancompress.report import Candidate, SearchFacts, StepFacts
from gancompress.report.plots import PALETTE, _extremes, front_svg, loss_svgs, losses_png, smoothed
from tests.report.example import FULL

SEARCH = FULL.search
assert SEARCH is not None


def colours(svg: str) -> set[str]:
    return set(re.findall(r"#[0-9a-f]{6}", svg))


def test_svgs_are_well_formed_and_themed():
    svgs = [front_svg(SEARCH, "front"), *loss_svgs(FULL.steps[0], "loss").values()]
    for svg in svgs:
        ElementTree.fromstring(svg)
        assert colours(svg) <= set(PALETTE.values())
        assert svg.count("var(--") == len(re.findall(r"#[0-9a-f]{6}", svg))
        assert "<style" not in svg
        assert "http" not in svg
    identifiers = [name for svg in svgs for name in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(identifiers) == len(set(identifiers))
    for svg in svgs:
        assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', svg)) <= set(re.findall(r'\bid="([^"]*)"', svg))


def test_front_plot_draws_every_candidate():
    svg = front_svg(replace(SEARCH, budget=None), "front")
    assert svg.count("<use") == 3 + 2  # all candidates, and the two on the front again
    warm = f"var(--warm, {PALETTE['warm']})"
    assert warm in svg
    nothing_chosen = [replace(candidate, chosen=False) for candidate in SEARCH.candidates]
    assert warm not in front_svg(replace(SEARCH, budget=None, candidates=nothing_chosen), "front")
    assert "stroke-dasharray" in front_svg(SEARCH, "front")
    assert "stroke-dasharray" not in svg


@pytest.mark.parametrize(
    "candidates",
    [
        [],
        [Candidate("a", 1e9, 3.0)],
        [Candidate("a", 1e9, math.nan), Candidate("b", 1e9, math.inf)],
        [Candidate("a", 1e6, 1e-5), Candidate("b", 1e12, 1e5)],
        [Candidate("a", 0.0, -3.0), Candidate("b", 4.0, 3.0)],
    ],
)
def test_front_plot_takes_any_candidates(candidates: list[Candidate]):
    for better in ("lower", "higher"):
        ElementTree.fromstring(front_svg(SearchFacts("fid", better, "MACs", candidates, 1e8), "front"))


def test_losses_get_one_plot_each_and_skip_what_is_not_finite():
    losses = [(1, {"a": 1.0}), (2, {"a": math.nan, "b": 2.0}), (3, {"b": math.inf}), (4, {"c": math.nan})]
    svgs = loss_svgs(StepFacts("s", "distill", 4, 1.0, losses=losses), "loss")
    assert list(svgs) == ["a", "b", "c"]
    for svg in svgs.values():
        ElementTree.fromstring(svg)


def test_a_wide_range_of_positive_losses_is_logarithmic():
    def ticks(last: float) -> list[float]:
        values = np.geomspace(1.0, last, 50)
        step = StepFacts("s", "distill", 50, 1.0, losses=[(i, {"a": value}) for i, value in enumerate(values)])
        labels = re.findall(r"<text[^>]*text-anchor: end[^>]*>([^<]*)</text>", loss_svgs(step, "loss")["a"])
        return [float(label) for label in labels if " " not in label]

    assert 10 in ticks(100.0)
    assert np.ptp(np.diff(np.log(ticks(100.0)))) < 0.2  # equal ratios
    assert np.ptp(np.diff(ticks(5.0))) < 1e-6  # equal differences


def test_smoothing_is_a_moving_average():
    values = np.random.default_rng(0).normal(size=300)
    smooth = smoothed(values)
    assert smooth[150] == pytest.approx(values[140:161].mean())
    assert smooth[0] == pytest.approx(values[:11].mean())
    assert np.array_equal(smoothed(values[:5]), values[:5])


def test_long_curves_keep_their_extremes():
    values = np.random.default_rng(0).normal(size=50_000)
    kept = _extremes(values)
    assert len(kept) <= 400
    assert {values.argmin(), values.argmax()} <= set(kept)
    assert list(kept) == sorted(kept)


def test_the_picture_of_all_losses_has_a_plot_for_each_term(tmp_path):
    def size(*terms: str) -> tuple[int, int]:
        losses_png([(1, dict.fromkeys(terms, 1.0)), (2, dict.fromkeys(terms, math.nan))], tmp_path / "losses.png")
        with Image.open(tmp_path / "losses.png") as image:
            return image.size

    width, height = size("a")
    assert size("a", "b", "c") == (3 * width, height)
    assert size("a", "b", "c", "d") == (3 * width, 2 * height)
