from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from gancompress.cost.conventions import Macs
from gancompress.errors import DataError
from gancompress.report import Latency, MacFacts, MetricValue, Report
from tests.report.example import BARE, FULL, TEACHER


@pytest.mark.parametrize("report", [FULL, BARE], ids=["full", "bare"])
def test_a_report_survives_json(report: Report):
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_infinities_survive_strict_json():
    psnr = MetricValue(math.inf, 10, "8 bit", "higher", low=-math.inf, high=math.nan)
    report = replace(FULL, networks=[replace(TEACHER, metrics={"psnr": psnr})])
    read = Report.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))).networks[0].metrics["psnr"]
    assert (read.value, read.low) == (math.inf, -math.inf)
    assert read.high is not None
    assert math.isnan(read.high)


def test_every_wrong_field_is_named():
    content = FULL.to_json()
    content["networks"][0]["parameters"] = "many"
    content["networks"][1]["colour"] = "red"
    del content["seed"]
    with pytest.raises(DataError) as caught:
        Report.from_json(content)
    for where in ("networks.0.parameters", "networks.1.colour", "seed", "write it again"):
        assert where in str(caught.value)


def test_mac_facts_take_every_convention():
    assert MacFacts.of(Macs(true=10, outsize=1024**3, cheap_layers=5)) == MacFacts(10, 1024**3, 1024**3 + 5, 1.0)


def test_percentiles_of_few_times_are_among_them():
    assert Latency.of([1.0, 1.0, 50.0, 50.0]) == Latency(25.5, 1.0, 50.0)
    assert Latency.of([float(number) for number in range(11)]) == Latency(5.0, 1.0, 9.0)
