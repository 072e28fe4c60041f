"""The verb that compares architectures by what they take."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from gancompress.cli import app
from gancompress.deploy.latency import ranking
from gancompress.errors import BudgetError, ConfigError


@pytest.fixture
def clock(monkeypatch) -> None:
    """In place of a runtime: milliseconds of a network from the number of its weights."""

    def weights(modules, shapes, target, say):
        assert shapes == [(1, 3, 32, 32)] * len(modules)
        return [sum(p.numel() for p in module.parameters()) / 1e3 for module in modules]

    monkeypatch.setattr(ranking, "times_of", weights)


def run(*arguments: str):
    fixed = ["latency", "resnet", "--set", "num_blocks=1", "--size", "32x32", "--runtime", "eager", "--threads", "1"]
    return CliRunner().invoke(app, [*fixed, *arguments])


def test_every_combination_is_ranked(clock):
    result = run("--vary", "ngf=4,8", "--vary", "tail=full_size,half_size", "--ms", "20", "--json")
    assert result.exit_code == 0, result.exception
    told = json.loads(result.stdout)
    assert told["device"]["runtime"] == "eager"
    rows = told["networks"]
    assert {row["name"] for row in rows} == {f"ngf={n} tail={t}_size" for n in (4, 8) for t in ("full", "half")}
    assert [row["fits"] for row in rows] == [row["ms"] <= 20 for row in rows] == [True, True, False, False]
    assert rows[0]["macs"] >= rows[1]["macs"]
    table = run("--vary", "ngf=4,8").stdout
    assert table.index("ngf=4") < table.index("ngf=8")  # without a budget by time


MISTAKES = {
    "no values": (["--vary", "ngf"], ConfigError, "--vary: got 'ngf', expected OPTION=VALUE,VALUE, such as tail"),
    "an option": (["--vary", "tial=half_size"], ConfigError, "tial: unknown option, did you mean 'tail'"),
    "a runtime": (["--runtime", "openvin"], ConfigError, "--runtime: got 'openvin', .* did you mean 'openvino'"),
    "out of reach": (
        ["--vary", "ngf=4,8", "--ms", "1"],
        BudgetError,
        r"budget: got 1\.00 ms on eager, 1 threads, but the fastest of 2 networks, ngf=4, takes \d+\.\d\d ms; raise",
    ),
}


@pytest.mark.parametrize(("arguments", "kind", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(clock, arguments, kind, message):
    result = run(*arguments)
    with pytest.raises(kind, match=message):
        raise result.exception
