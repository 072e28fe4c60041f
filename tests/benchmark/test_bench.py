"""Networks are timed in turns, each in a process of its own, and ratios are of the same turns."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from gancompress.benchmark import Bench, Network, Timing, bench, draw
from gancompress.benchmark.operators import by_class
from gancompress.benchmark.statistics import ratio
from gancompress.cli import app
from gancompress.errors import ConfigError, ExportError
from gancompress.models.families import build
from gancompress.models.generator import Generator
from gancompress.report import Latency


def network(name: str, ngf: int) -> Network:
    config = {"ngf": ngf, "num_blocks": 1}
    return Network(name, Generator.from_module(build("resnet", config), "resnet", config))


def test_ratios_are_of_the_same_turns():
    slow, fast = [[4.0, 4.0, 100.0], [8.0], [40.0]], [[1.0, 1.0, 1.0], [2.0], [5.0]]
    assert ratio(slow, fast) == (4.0, 4.0, 6.0)  # a machine that is twice as busy in one turn is so for both
    assert ratio([[3.0]], [[2.0]]) == (1.5, 1.5, 1.5)


def test_operators_by_class():
    def event(operator: str, microseconds: int, end: str = "_kernel_time") -> dict:
        return {"cat": "Node", "name": f"node{end}", "args": {"op_name": operator}, "dur": microseconds}

    session = {"cat": "Session", "name": "model_run", "dur": 9000}
    events = [event("Conv", 3000), event("ConvTranspose", 1000), event("Pad", 500), event("Erf", 100), session]
    assert by_class([*events, event("Conv", 9999, "_fence_before")], 2) == {
        "convolution": 2,
        "pad": 0.25,
        "other": 0.05,
    }


def test_two_networks_on_two_runtimes_and_batches(tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    said: list[str] = []
    result = bench(
        [network("wide", 24), network("narrow", 4)],
        torch.rand(1, 3, 64, 64),
        ["eager", "onnxruntime"],
        [1, 2],
        rounds=2,
        runs=2,
        threads=1,
        say=said.append,
    )
    places = [(timing.batch, timing.runtime, timing.network) for timing in result.timings]
    assert places == [(b, r, n) for b in (1, 2) for r in ("eager", "onnxruntime") for n in ("wide", "narrow")]
    by_place = dict(zip(places, result.timings, strict=True))
    for (batch, runtime, name), timing in by_place.items():
        assert 0 < timing.latency_ms.p10 <= timing.latency_ms.median <= timing.latency_ms.p90
        assert timing.images_per_second == pytest.approx(1e3 * batch / timing.latency_ms.median)
        assert (timing.operators_ms is not None) == (runtime == "onnxruntime")
        assert timing.faster_than_eager is not None
        if name == "wide":
            assert timing.faster == (1, 1, 1)
        else:
            assert timing.disk_bytes < by_place[batch, runtime, "wide"].disk_bytes / 2
    shares = by_place[1, "onnxruntime", "wide"].operators_ms
    assert shares is not None
    assert {"convolution", "norm", "layout"} <= set(shares)
    assert sum("exporting" in line for line in said) == 2


def test_what_is_refused():
    with pytest.raises(ConfigError, match="--runtime: got 'onnx', expected a known one; did you mean 'onnxruntime'"):
        bench([network("net", 4)], torch.rand(1, 3, 16, 16), ["onnx"])
    if not torch.cuda.is_available():
        with pytest.raises(ExportError, match=r"bench: cuda on net: "):
            bench([network("net", 4)], torch.rand(1, 3, 16, 16), ["cuda"], rounds=1)


def example() -> Bench:
    timings = [
        Timing("eager", name, 1, Latency(*ms), 1e3 / ms[0], ratios, ratios, 10**6, 10**6, None)
        for name, ms, ratios in (("original", (40.0, 39.0, 44.0), (1.0,) * 3), ("compressed", (8.0, 7, 9), (5.0, 4, 6)))
    ]
    return Bench((1, 3, 64, 64), None, 5, tuple(timings))


def test_a_picture_of_it(tmp_path):
    from PIL import Image

    draw(example(), tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(2**24) or ()) > 10


def test_the_verb(tmp_path, monkeypatch):
    import gancompress.benchmark as package

    asked = []

    def measured(networks, example_input, runtimes, batches, **options):
        asked.append(([each.name for each in networks], tuple(example_input.shape), runtimes, batches))
        return example()

    monkeypatch.setattr(package, "bench", measured)
    run = tmp_path / "run"
    network("", 4).generator.save(run)
    network("", 8).generator.save(run / "teacher")
    arguments = ["bench", str(run), "--size", "64x64", "--runtime", "eager", "--batch", "1", "--batch", "4"]
    shown = CliRunner().invoke(app, [*arguments, "--plot", str(tmp_path / "bench.png")], env={"COLUMNS": "120"})
    assert shown.exit_code == 0, shown.output
    assert asked == [(["original", "compressed"], (1, 3, 64, 64), ["eager"], [1, 4])]
    assert "5.00x (4.00 to 6.00)" in shown.stdout
    assert (tmp_path / "bench.png").is_file()
    report = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert report["timings"][1]["latency_ms"] == {"median": 8.0, "p10": 7, "p90": 9}
