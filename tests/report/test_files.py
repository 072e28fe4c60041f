"""The table of files: what each is worth, the best one marked, and what could not be written."""

from __future__ import annotations

import math
from dataclasses import replace

from gancompress.report import ExportFacts, FileRow, Latency, Report, file_table, report_files, with_best
from tests.report.example import FULL

ROWS = [
    FileRow("a.onnx", Latency(4.0, 3.9, 4.2), 2.0, 1.9, 2.1, 90.0, threads=1, file_bytes=1_000_000),
    FileRow("b.onnx", Latency(2.0, 1.9, 2.2), 4.0, 3.9, 4.1, 29.0, threads=1, file_bytes=300_000),
    FileRow("c.onnx", Latency(1.0, 0.9, 1.2), 8.0, 7.9, 8.1, 12.0, threads=2, file_bytes=300_000),
    FileRow("d.tflite", reason="needs the package litert_torch"),
]


def test_the_fastest_file_that_is_close_enough_is_the_best():
    best = {least: [row.name for row in with_best(ROWS, least) if row.best] for least in (0, 20, 30, 95)}
    assert best == {0: ["c.onnx"], 20: ["b.onnx"], 30: ["a.onnx"], 95: []}
    assert not any(row.best for row in with_best(ROWS[3:], 0))


def test_columns_without_a_value_are_left_out():
    table = file_table(with_best(ROWS, 30), "x")
    assert table.head == ("file", "size", "ms", "threads", "times faster", "PSNR, dB", "")
    assert table.rows[0] == ("a.onnx", "1.00 MB", "4.00", "1", "2.00 (1.90 to 2.10)", "90.0", "best")
    assert [row[0] for row in table.rows] == ["a.onnx", "b.onnx", "c.onnx"]
    assert table.reasons == [("d.tflite", "needs the package litert_torch")]
    fast = replace(ROWS[0], faster=325.54, faster_low=99.94, faster_high=332.6)
    assert file_table([fast], "x").rows[0][4] == "326 (99.9 to 333)"
    assert table.caption == "Times faster than x: median and quartiles over turns on this machine."
    assert file_table(ROWS[3:], "x") == ("", (), [], table.reasons)
    assert file_table([replace(ROWS[0], psnr_db=math.inf)], "x").rows[0][5] == "equal"


def test_the_clock_is_named_where_it_is_the_processors():
    table = file_table([replace(row, processor_time=row.time_ms is not None) for row in ROWS], "x")
    assert table.caption.startswith("Times faster than x, in processor time of one thread: median and quartiles over ")
    assert "threads" not in table.head  # the caption says it


def test_a_report_shows_all_files_and_those_that_were_not_written():
    assert report_files(FULL) is None  # one file has a section that says it all
    slower = replace(FULL.exports[0], path="b.onnx", speed=None, perceptual=0.25, not_compared="runs elsewhere only")
    table = report_files(replace(FULL, exports=[*FULL.exports, slower], not_exported={"m.tflite": "no such operator"}))
    assert table is not None
    assert [(row[0], row[-1]) for row in table.rows] == [
        ("exports/model.fastest.onnx", "best"),
        ("b.onnx", ""),
    ]
    assert table.reasons == [("b.onnx", "not compared: runs elsewhere only"), ("m.tflite", "no such operator")]
    assert "perceptual" in table.head


def test_files_of_older_reports_are_read():
    content = FULL.to_json()
    for each in content["exports"][0]["tried"]:
        each["written"] = each.pop("best")
    assert Report.from_json(content) == FULL
    assert isinstance(Report.from_json(content).exports[0], ExportFacts)


def test_of_files_that_are_as_fast_by_measurement_the_closest_is_the_best():
    """Closeness to the float network decides within the lower quartile of the fastest file, and the order after it."""
    full, half = ROWS[0], replace(ROWS[0], name="a.fp16.onnx", faster=2.01, faster_low=1.95, psnr_db=79.0)
    integers = replace(half, name="a.int8.onnx", faster=3.0, faster_low=2.0, psnr_db=34.0)

    def best(*rows: FileRow) -> list[str]:
        return [row.name for row in with_best(rows, 30) if row.best]

    assert best(half, full) == ["a.onnx"]
    assert best(full, replace(half, faster_low=2.005)) == ["a.fp16.onnx"]
    assert best(full, half, replace(integers, faster_low=2.02)) == ["a.int8.onnx"]
    assert best(full, half, integers) == ["a.onnx"]
    assert best(full, replace(half, psnr_db=90.04)) == ["a.onnx"]
    assert best(replace(half, psnr_db=None), full) == ["a.fp16.onnx"]
