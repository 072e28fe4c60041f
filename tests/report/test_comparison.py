from __future__ import annotations

from dataclasses import replace

import pytest

from gancompress.report import Latency, MetricValue, Report
from gancompress.report.comparison import compare_metric, comparison, headline, headline_lines
from gancompress.report.wording import MISSING
from tests.report.example import BARE, COMPRESSED, FULL, TEACHER

UNTIMED = replace(FULL, exports=[])
FASTEST = FULL.exports[0]


def test_headline_has_the_figures_that_matter():
    assert [(item.figure, item.label) for item in headline(FULL)] == [
        ("25.9×", "faster"),  # the file beside the original in eager
        ("10.0×", "fewer MACs"),
        ("9.9×", "smaller"),
        ("+0.82", "fid"),
    ]
    speed, macs, size, quality = (item.detail for item in headline(FULL))
    assert speed == (
        "120 ms (the original in PyTorch eager) → 4.62 ms (exports/model.fastest.onnx, onnxruntime, int8), "
        "2 threads each, quartiles 25.4 to 26.3, input 1x3x256x256"
    )
    assert macs == "49.6 G → 4.95 G true MACs, input 1x3x256x256"
    assert size == "45.5 MB → 4.60 MB, exports/model.fastest.onnx"
    assert quality == "24.21 → 25.03: 0.82 worse, intervals overlap"
    assert headline_lines(FULL)[1] == "10.0× fewer MACs: 49.6 G → 4.95 G true MACs, input 1x3x256x256"


def test_headline_is_of_the_fastest_file():
    assert FASTEST.speed is not None
    slower = replace(FASTEST, path="slow.onnx", speed=replace(FASTEST.speed, faster=2.0, faster_low=1.9))
    untimed = replace(FASTEST, path="untimed.tflite", file_bytes=1, speed=None)
    assert headline(replace(FULL, exports=[slower, untimed, FASTEST])) == headline(FULL)
    speed = replace(FASTEST.speed, faster=120.4, faster_low=119.0, threads=1)
    faster = replace(FASTEST, path="b.xml", format="openvino", speed=speed)
    first = headline(replace(FULL, exports=[FASTEST, faster]))[0]
    assert first.figure == "120×"
    assert "(b.xml, onnxruntime, float32), 1 thread each" in first.detail
    other = replace(FASTEST, speed=replace(FASTEST.speed, threads=1, original_threads=2))
    assert "int8), 1 thread, the original at its best with 2, q" in headline(replace(FULL, exports=[other]))[0].detail


def test_headline_says_where_even_the_fastest_file_is_slower():
    assert FASTEST.speed is not None
    slow = replace(FASTEST, speed=replace(FASTEST.speed, faster=0.5))
    assert headline(replace(FULL, exports=[slow]))[0][:2] == ("2.0×", "slower")


def test_headline_without_a_timed_file_is_of_the_network():
    assert [(item.figure, item.label) for item in headline(UNTIMED)[:3]] == [
        ("5.0×", "faster"),  # in onnxruntime, the only runtime of both
        ("10.0×", "fewer MACs"),
        ("10.0×", "smaller"),
    ]
    assert headline(UNTIMED)[0].detail == "80 ms → 16 ms median, onnxruntime, input 1x3x256x256"
    unrecorded = headline(replace(UNTIMED, input_size=None))
    assert unrecorded[0].detail == "80 ms → 16 ms median, onnxruntime"


def test_headline_has_the_distance_to_the_teacher():
    metrics = {**COMPRESSED.metrics, "ssim_to_teacher": MetricValue(0.97312, 128, "", "higher")}
    networks = [TEACHER, replace(COMPRESSED, metrics=metrics)]
    assert headline(replace(UNTIMED, networks=networks))[-1] == (
        *("0.973", "ssim to the teacher", "higher is better, 128 images"),
    )
    rounded = replace(FULL, networks=networks, exports=[replace(FASTEST, psnr_db=38.06)])
    assert headline(rounded)[-1].detail.endswith("128 images; the file’s images to the network’s: 38.1 dB")


def test_headline_says_what_got_worse():
    slow = replace(COMPRESSED, parameters=2 * TEACHER.parameters, latency_ms={"eager": Latency(240.0, 230.0, 250.0)})
    items = headline(replace(UNTIMED, networks=[TEACHER, slow]))
    assert (items[0].figure, items[0].label) == ("2.0×", "slower")
    assert (items[2].figure, items[2].label) == ("2.0×", "larger")


def test_headline_claims_nothing_that_is_missing():
    assert [item.figure for item in headline(BARE)] == ["–", "–", "10.0×", "–"]
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
