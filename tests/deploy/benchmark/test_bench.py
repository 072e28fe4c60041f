"""Networks are timed in turns, each in a process of its own, and ratios are of the same turns."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from gancompress.cli import app
from gancompress.cli.options import console
from gancompress.cli.sources import InputChoices, job_of, open_exported, open_network, sources_of
from gancompress.deploy import export_generator, known_modes
from gancompress.deploy.benchmark import Bench, Task, Timing, available_runtimes, bench, workers
from gancompress.deploy.benchmark.candidates import inputs_of, prepared
from gancompress.deploy.benchmark.plot import draw
from gancompress.deploy.benchmark.statistics import ratio
from gancompress.deploy.named import NamedFile
from gancompress.deploy.runtimes import timed
from gancompress.deploy.runtimes.operators import by_class
from gancompress.deploy.runtimes.registry import size_on_disk
from gancompress.errors import ConfigError, ExportError, InputSizeError
from gancompress.quantization import Quantization, QuantizationOptions
from gancompress.report import Latency
from tests.cli.verbs import run
from tests.deploy.benchmark.in_process import workers_as_threads
from tests.deploy.benchmark.networks import NUM_NOISE, SIZE_PX, SPADE, label_maps, network, quantized, saved, stylegan2


@pytest.fixture
def threads() -> Iterator[None]:
    """Workers that are threads of this process."""
    with workers_as_threads():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A narrow network's files: of free sizes, of a fixed one, and as a program; and a wider one's."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    for name, ngf in (("narrow", 4), ("wide", 16)):
        net = network(name, ngf)
        export_generator(net.generator, replace(net.form, axes=None), folder / f"{name}.onnx")
    net = network("narrow", 4)
    export_generator(net.generator, net.form, folder / "narrow.fixed.onnx", "onnx_fixed")
    export_generator(net.generator, net.form, folder / "narrow.pt2", "torch")
    return folder


def opened(path: Path, **choices: Any) -> NamedFile:
    return open_exported(path.name, str(path), None, InputChoices(trust=True, **choices))


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


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
def test_two_networks_on_two_runtimes_and_batches(tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    said: list[str] = []
    result = bench(
        [network("wide", 24, 64), network("narrow", 4, 64)],
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("candidate", "shapes", "runtimes"),
    [
        (
            lambda: stylegan2(torch.randn(1, 4, 6), torch.randn(1, NUM_NOISE)),
            ((1, 4, 6), (1, NUM_NOISE)),
            ("eager", "onnxruntime", "openvino"),
        ),
        (label_maps, ((1, SIZE_PX, SIZE_PX), (1, SIZE_PX, SIZE_PX)), ("eager", "onnxruntime")),
    ],
    ids=["StyleGAN2, styles and noise maps", "labels and edges"],
)
@pytest.mark.usefixtures("threads")
def test_networks_of_any_inputs(candidate, shapes, runtimes):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    runtimes = [name for name in runtimes if name in available_runtimes()]
    net = candidate()
    result = bench([net], runtimes, [2], rounds=1, runs=2, threads=1)
    assert result.shapes == {net.name: shapes}
    assert [(timing.runtime, timing.batch) for timing in result.timings] == [(name, 2) for name in runtimes]
    assert all(timing.latency_ms.median > 0 for timing in result.timings)


def test_files_take_label_maps_and_eager_takes_their_channels():
    net = label_maps()
    labels, edges = inputs_of(net, "onnxruntime", 3)
    assert labels.dtype == torch.int32
    assert set(labels.unique().tolist()) <= {0, 1, 2}
    assert edges.dtype == torch.bool
    assert labels.shape == edges.shape == (3, SIZE_PX, SIZE_PX)
    (channels,) = inputs_of(net, "eager", 1)
    torch.testing.assert_close(channels[:, :3].argmax(1).int(), net.form.inputs[0], rtol=0, atol=0)
    assert set(channels.unique().tolist()) == {0, 1}
    assert inputs_of(net, "eager", 2)[0].shape == (2, 4, SIZE_PX, SIZE_PX)


def test_what_lies_on_the_disk(tmp_path):
    for name, size in (("model.xml", 3), ("model.bin", 50), ("model.onnx", 7), ("other.onnx", 900)):
        (tmp_path / name).write_bytes(bytes(size))
    assert size_on_disk(tmp_path / "model.xml") == 53  # its weights lie beside it
    assert size_on_disk(tmp_path / "model.onnx") == 7
    assert size_on_disk(tmp_path) == 960


def test_a_task_arrives_as_it_was_sent():
    inputs = (torch.randn(2, 3).T, torch.tensor([[1, -5]], dtype=torch.int32), torch.ones(1, 2) > 0, torch.tensor(2.5))
    stream = io.BytesIO(Task("eager", Path("net"), inputs, 3).sent() + b"next")
    received = Task.received(json.loads(stream.readline())["task"], stream)
    assert (received.runtime, received.path, received.threads) == ("eager", Path("net"), 3)
    assert [each.dtype for each in received.inputs] == [each.dtype for each in inputs]
    assert all(torch.equal(got, expected) for got, expected in zip(received.inputs, inputs, strict=True))
    assert stream.read() == b"next"


@pytest.mark.usefixtures("threads")
def test_a_quantized_network_runs_as_its_file_of_integers(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    said: list[str] = []
    net = quantized("net", 4)
    path = prepared(net, "onnxruntime", tmp_path, said.append)
    assert prepared(net, "openvino", tmp_path, said.append) == path
    assert said == ["net: exporting to onnx"]
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(path).graph.node}
    folder = prepared(net, "eager", tmp_path, said.append)
    assert said[1:] == ["net: eager runs it in float, for rounding is only imitated there, not deployed"]
    assert Quantization.load(folder) is None
    assert size_on_disk(folder) > size_on_disk(path)

    runtimes = [name for name in available_runtimes() if name in ("onnxruntime", "openvino")]
    result = bench([net], runtimes, rounds=1, runs=2, threads=1)
    assert [each.runtime for each in result.timings] == runtimes
    assert "rounding" in (result.timings[0].operators_ms or {})


def test_exported_files_side_by_side(files):
    few = ("--rounds", 1, "--threads", 1, "--batch", 2, "--json")
    wide, narrow = files / "wide.onnx", files / "narrow.onnx"
    report = json.loads(run("bench", wide, narrow, "--size", "16x32", "--runtime", "onnxruntime", *few))
    assert report["shapes"] == {"original": [[1, 3, 16, 32]], "compressed": [[1, 3, 16, 32]]}
    original, compressed = report["timings"]
    assert original["disk_bytes"] == (files / "wide.onnx").stat().st_size
    assert (compressed["network"], compressed["runtime"], compressed["batch"]) == ("compressed", "onnxruntime", 2)


@pytest.mark.usefixtures("threads")
def test_a_file_beside_the_network_that_it_was_made_of(files):
    net, file = network("net", 4), opened(files / "narrow.pt2", size="16x16")
    assert available_runtimes([net, file]) == ["eager"]
    result = bench([net, file], ["eager"], rounds=1, runs=2, threads=1)
    assert [timing.network for timing in result.timings] == ["net", "narrow.pt2"]


def test_what_runs_all(files):
    file = opened(files / "narrow.onnx")
    assert "eager" not in available_runtimes([network("net", 4), file])
    assert {"onnxruntime", "eager"} <= set(available_runtimes())
    assert not {"compiled", "browser"} & set(available_runtimes())
    with pytest.raises(
        ConfigError, match=r"no installed runtime that runs .*narrow.onnx and .*narrow.pt2, expected one"
    ):
        available_runtimes([file, opened(files / "narrow.pt2")])


def test_what_is_refused(files):
    with pytest.raises(ConfigError, match="--runtime: got 'onnx', expected a known one; did you mean 'onnxruntime'"):
        bench([network("net", 4)], ["onnx"])
    file, fixed = opened(files / "narrow.onnx", size="16x16"), opened(files / "narrow.fixed.onnx")
    with pytest.raises(
        ConfigError, match=r"narrow.onnx: got the runtime 'eager', expected onnxruntime or .*; for eager give the direc"
    ):
        bench([network("net", 4), file], ["eager"])
    with pytest.raises(ConfigError, match=r"narrow.pt2: got the runtime 'onnxruntime', expected eager, which run .pt2"):
        bench([opened(files / "narrow.pt2")], ["onnxruntime"])
    with pytest.raises(ConfigError, match=r"got net at 32x32 and narrow.onnx at 16x16, expected .* one size; give"):
        bench([network("net", 4, 32), file], ["onnxruntime"])
    with pytest.raises(InputSizeError, match=r"got values of 4x3x16x16 for input, expected 1x3x16x16, the size that"):
        bench([fixed], ["onnxruntime"], [4])
    if not torch.cuda.is_available():
        with pytest.raises(ExportError, match=r"^--runtime: cuda needs a CUDA GPU$"):
            bench([network("net", 4)], ["cuda"], rounds=1)


def test_files_that_do_not_fit(files, tmp_path):
    assert opened(files / "narrow.fixed.onnx").inputs[0].shape == (1, 3, 16, 16)  # no size asked for
    with pytest.raises(InputSizeError, match=r"got --size 32x32, expected 16x16, the size that the file was exported"):
        opened(files / "narrow.fixed.onnx", size="32x32")
    with pytest.raises(InputSizeError, match=r"narrow.onnx: got images of 18x18 .*, expected both divisible by 4"):
        opened(files / "narrow.onnx", size="18x18")
    with pytest.raises(ConfigError, match=r"narrow.onnx: got 2 shapes, expected 1, one for each of input"):
        opened(files / "narrow.onnx", shapes=["1x3x16x16", "1x8"])
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(ExportError, match=r"broken.onnx: onnxruntime cannot run the file: "):
        opened(tmp_path / "broken.onnx")
    with pytest.raises(ConfigError, match=r"'.*nowhere.onnx': no such file, and no family of this name"):
        run("bench", tmp_path / "nowhere.onnx")


def test_runs_count_once_the_machine_has_settled(monkeypatch):
    now_s = 0.0
    took_ms = [9.0] * 3 + [20.0, 20.0, 10.0, 5.0, 5.0] + [5.0] * 3  # warming up; settling, two that count; again

    def run(inputs):
        nonlocal now_s
        now_s += took_ms.pop(0) / 1e3
        return list(inputs)

    monkeypatch.setattr(timed.time, "perf_counter", lambda: now_s)
    subject = timed.InProcess(run, (torch.zeros(1),))
    assert subject.times(2, settle_ms=45).wall_ms == pytest.approx([5.0, 5.0])
    assert len(took_ms) == 3
    assert subject.times(2, settle_ms=0).wall_ms == pytest.approx([5.0, 5.0])
    assert not took_ms


def test_a_run_that_sleeps_takes_no_processor():
    found = timed.InProcess(lambda inputs: time.sleep(0.02), ()).times(3, settle_ms=0)
    assert min(found.wall_ms) >= 20
    assert found.processor_ms is not None
    assert max(found.processor_ms) < 10
    assert timed.InProcess(lambda inputs: None, (), elsewhere=True).times(3, settle_ms=0).processor_ms is None


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux")
def test_a_run_beside_another_program_waits_for_the_processor():
    def run(inputs):
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    allowed = os.sched_getaffinity(0)
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    os.sched_setaffinity(0, {min(allowed)})  # the other program inherits it
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            found = timed.InProcess(run, ()).times(4, settle_ms=0)
            other.kill()
    finally:
        os.sched_setaffinity(0, allowed)
    assert found.processor_ms is not None
    assert sum(found.processor_ms) < 0.8 * sum(found.wall_ms)
    assert found.waited_ms > 0.5 * (sum(found.wall_ms) - sum(found.processor_ms))


def test_gpus_and_browsers_are_timed_by_the_wall_clock():
    assert {name for name, mode in known_modes().items() if mode.elsewhere} == {"cuda", "cuda_graph", "browser"}


@pytest.mark.slow
def test_a_process_that_fails_says_why(tmp_path):
    net = network("net", 4)
    net.generator.save(tmp_path / "net")
    task = Task("eager", tmp_path / "net", net.example, 1)
    missing = Task("eager", tmp_path / "nothing", net.example, 1)
    with (
        pytest.raises(ExportError, match=r"bench: eager on nothing: .*nothing: found no config.json, expected"),
        workers({"missing": missing}),
    ):
        pass
    with workers({"there": task}) as processes:
        worker = processes["there"]
        assert [len(each) for each in (worker.times(2).wall_ms, worker.times(2).processor_ms or [])] == [2, 2]
        assert worker.profile(1) is None
        with pytest.raises(ExportError, match=r"bench: eager on net: .* to have 3 channels, but got 2"):
            worker.open(Task("eager", tmp_path / "net", (torch.zeros(1, 2, 16, 16),), 1))


def test_what_sources_are(tmp_path):
    folder = tmp_path / "run"
    generator = saved("mobile_spade", SPADE)
    generator.save(folder)
    generator.save(folder / "teacher")
    sources = sources_of(str(folder), None)
    assert sources == {"original": str(folder / "teacher"), "compressed": str(folder)}
    assert sources_of("a", None) == {"original": "a"}
    assert job_of(sources.values()) is None
    net = open_network("original", str(folder), None, InputChoices(size="64x128", labels=3))
    assert [tuple(each.shape) for each in net.form.inputs] == [(1, 64, 128), (1, 64, 128)]
    assert net.example[0].shape == (1, 4, 64, 128)
    with pytest.raises(ConfigError, match="labels: got 9 for a network of 4 channels"):
        open_network("original", str(folder), None, InputChoices(size="64x64", labels=9))
    Quantization(QuantizationOptions(), {}).save(folder)
    with pytest.raises(ConfigError, match="quantization: the ranges do not fit the network"):
        open_network("original", str(folder), None, InputChoices(size="64x64"))


def example() -> Bench:
    timings = [
        Timing("eager", name, 1, Latency(*ms), 1e3 / ms[0], ratios, ratios, 10**6, 10**6, None)
        for name, ms, ratios in (("original", (40.0, 39.0, 44.0), (1.0,) * 3), ("compressed", (8.0, 7, 9), (5.0, 4, 6)))
    ]
    return Bench({name: ((1, 3, 64, 64),) for name in ("original", "compressed")}, None, 5, tuple(timings))


def test_a_picture_of_it(tmp_path):
    from PIL import Image

    draw(example(), tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(2**24) or ()) > 10


def test_the_verb(tmp_path, monkeypatch):
    import gancompress.deploy.benchmark as package

    asked = []

    def measured(candidates, runtimes, batches, **options):
        asked.append(([each.name for each in candidates], tuple(candidates[0].example[0].shape), runtimes, batches))
        return example()

    monkeypatch.setattr(package, "bench", measured)
    folder = tmp_path / "run"
    network("", 4).generator.save(folder)
    network("", 8).generator.save(folder / "teacher")
    arguments = ["bench", str(folder), "--size", "64x64", "--runtime", "eager", "--batch", "1", "--batch", "4"]
    monkeypatch.setattr(console, "width", 120)
    shown = CliRunner().invoke(app, [*arguments, "--plot", str(tmp_path / "bench.png")])
    assert shown.exit_code == 0, shown.output
    assert asked == [(["original", "compressed"], (1, 3, 64, 64), ["eager"], [1, 4])]
    assert "5.00x (4.00 to 6.00)" in shown.stdout
    assert (tmp_path / "bench.png").is_file()
    report = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert report["timings"][1]["latency_ms"] == {"median": 8.0, "p10": 7, "p90": 9}
