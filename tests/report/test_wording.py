from __future__ import annotations

import pytest

from gancompress.report import wording


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "", "0"),
        (640, "", "640"),
        (999_499, "", "999 k"),
        (999_500, "", "1.00 M"),
        (11_378_179, "", "11.4 M"),
        (49_551_507_456, "", "49.6 G"),
        (45_512_716, "B", "45.5 MB"),
        (640, "B", "640 B"),
        (52.898, "", "52.9"),
        (0.0512, "ms", "0.0512 ms"),
        (float("nan"), "", "nan"),
        (float("inf"), "B", "inf TB"),
        (999.6, "ms", "1.00 s"),
        (4411.3, "ms", "4.41 s"),
    ],
)
def test_compact(value: float, unit: str, expected: str):
    assert wording.compact(value, unit) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (94, 10, "9.4× smaller"),
        (10, 12, "1.2× larger"),
        (1200, 10, "120× smaller"),
        (100, 99, "about the same"),
        (7, 7, "the same"),
        (None, 7, ""),
        (7, None, ""),
        (7, 0, ""),
        (0, 7, ""),
    ],
)
def test_changed(before: float | None, after: float | None, expected: str):
    assert wording.changed(before, after, wording.Change("smaller", "larger")) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(4.2, "4.2 s"), (59.96, "1 min 00 s"), (200, "3 min 20 s"), (4320, "1 h 12 min"), (3599.7, "1 h 00 min")],
)
def test_duration(seconds: float, expected: str):
    assert wording.duration(seconds) == expected
