from __future__ import annotations

from dataclasses import replace

import pytest

from gancompress.report import Latency, MetricValue, Report
from gancompress.report.comparison import compare_metric, comparison, headline
from gancompress.report.wording import MISSING
from tests.report.example import BARE, COMPRESSED, FULL, TEACHER


def test_headline_has_the_figures_that_matter():
    assert [(item.figure, item.label) for item in headline(FULL)] == [
        ("10.0×", "smaller"),
        ("10.0×", "fewer MACs"),
        ("5.0×", "faster"),  # in onnxruntime, the only runtime of both
        ("+0.82", "fid"),
    ]
    assert headline(FULL)[2].detail == "80 ms → 16 ms median, onnxruntime"
    assert headline(FULL)[3].detail == "24.21 → 25.03: 0.82 worse, intervals overlap"


def test_headline_says_what_got_worse():
    slow = replace(COMPRESSED, parameters=2 * TEACHER.parameters, latency_ms={"eager": Latency(240.0, 230.0, 250.0)})
    items = headline(replace(FULL, networks=[TEACHER, slow]))
    assert (items[0].figure, items[0].label) == ("2.0×", "larger")
    assert (items[2].figure, items[2].label) == ("2.0×", "slower")


def test_headline_claims_nothing_that_is_missing():
    assert [item.figure for item in headline(BARE)] == ["10.0×", "–", "–", "–"]
    assert headline(replace(FULL, networks=[TEACHER])) == []


@pytest.mark.parametrize(
    ("after", "words", "tone"),
    [
        (MetricValue(26.0, 500, "p", "lower"), "1.0 worse", "worse"),
        (MetricValue(24.0, 500, "p", "lower"), "1.0 better", "better"),
        (MetricValue(26.0, 500, "p", "higher"), "1.0 better", "better"),
        (MetricValue(26.0, 500, "p", "lower", 25.5, 26.5), "1.0 worse", "even"),
        (MetricValue(29.0, 500, "p", "lower", 28.5, 29.5), "4.0 worse", "worse"),
        (MetricValue(25.0, 500, "p", "lower"), "the same", "even"),
        (MetricValue(26.0, 500, "q", "lower"), "not comparable: another protocol", "even"),
        (MetricValue(26.0, 50, "p", "lower"), "not comparable: another N", "even"),
        (MetricValue(float("inf"), 500, "p", "higher"), "not comparable: not finite", "even"),
    ],
)
def test_metrics_are_compared_in_their_direction(after: MetricValue, words: str, tone: str):
    change = compare_metric(MetricValue(25.0, 500, "p", after.better, 24.0, 26.0), after)
    assert (change.words, change.tone) == (words, tone)


def test_every_row_has_a_cell_for_every_network():
    report = replace(FULL, networks=[TEACHER, COMPRESSED, replace(BARE.networks[0], name="from scratch")])
    rows = {row.label: row.cells for group in comparison(report).values() for row in group}
    assert all(len(cells) == 3 for cells in rows.values())
    assert [cell.figure for cell in rows["File on disk"]] == ["45.5 MB", "4.56 MB", MISSING]
    assert [cell.figure for cell in rows["lpips"]] == [MISSING, "0.08730", MISSING]
    assert [cell.change for cell in rows["MACs"]] == ["", "10.0× fewer", ""]
    assert rows["fid"][1].spread == "24.10 – 26.20, overlaps the teacher’s; N\u00a0=\u00a0500"
    assert rows["Latency, eager"][1].figure == MISSING


def test_bars_share_the_scale_of_their_row():
    rows = {row.label: row.cells for group in comparison(FULL).values() for row in group}
    memory = [cell.bar for cell in rows["Peak activations"]]
    assert memory[0] == (0, 100, None)
    assert memory[1] == pytest.approx((0, 25, None))
    fid = [cell.bar for cell in rows["fid"]]  # from 23.4 to 26.2
    assert fid[0] == pytest.approx((0, 100 * 1.9 / 2.8, 100 * 0.81 / 2.8))
    assert fid[1] == pytest.approx((100 * 0.7 / 2.8, 100, 100 * 1.63 / 2.8))


@pytest.mark.parametrize("networks", [[], [TEACHER], [COMPRESSED]])
def test_incomplete_reports_compare_nothing(networks: list):
    report: Report = replace(FULL, networks=networks)
    assert not any(cell.change for group in comparison(report).values() for row in group for cell in row.cells)
