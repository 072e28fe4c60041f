"""Networks run in a real browser, by the page that a visitor sees, in turns like everywhere else."""

from __future__ import annotations

import json

import pytest
import torch

from gancompress.deploy.benchmark import Task, bench, workers
from gancompress.deploy.runtimes import browser_runtime
from gancompress.deploy.runtimes import runtime as runtime_module
from gancompress.deploy.runtimes.browser_runtime import chromium
from gancompress.errors import ConfigError, ExportError
from tests.cli.verbs import run
from tests.deploy.benchmark.in_process import workers_as_threads
from tests.deploy.benchmark.networks import label_maps, network, stylegan2


@pytest.mark.slow
def test_two_networks_in_turns(tmp_path, runtime, chromium_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    network("", 4).generator.save(tmp_path / "small")
    network("", 8).generator.save(tmp_path / "large")
    options = ("--runtime", "browser", "--size", "32x32", "--rounds", 2, "--threads", 1, "--json")
    with workers_as_threads():  # another test has one in a process
        report = json.loads(run("bench", tmp_path / "large", tmp_path / "small", *options))
    large, small = report["timings"]
    assert (large["runtime"], large["network"], small["network"]) == ("browser", "original", "compressed")
    assert all(0 < each["latency_ms"]["p10"] <= each["latency_ms"]["p90"] for each in (large, small))
    assert large["faster"] == [1, 1, 1]
    assert small["peak_bytes"] is small["operators_ms"] is None
    assert small["disk_bytes"] < large["disk_bytes"] < 10**6  # the network's file, not the runtime's


def test_a_network_of_label_maps(runtime, chromium_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    with workers_as_threads():
        (timing,) = bench([label_maps()], ["browser"], rounds=1, runs=2).timings
    assert timing.latency_ms.median > 0


def test_what_the_page_says_is_told(tmp_path, chromium_path):
    pytest.importorskip("playwright")
    (tmp_path / "index.html").write_text("<script>throw new Error('out of tea')</script>")
    with (
        pytest.raises(ExportError, match=r"bench: browser on original.onnx: the page says: out of tea"),
        workers({"page": Task("browser", tmp_path / "original.onnx", (), None)}),
    ):
        pass


def test_what_a_page_cannot_do(runtime):
    pytest.importorskip("playwright")
    with pytest.raises(
        ConfigError, match="--batch: got 4 for the runtime 'browser', expected 1: it runs no more images at once"
    ):
        bench([network("net", 4)], ["browser"], [1, 4])
    styles = stylegan2(torch.randn(1, 4, 6), torch.randn(1, 144))
    with pytest.raises(ExportError, match="web: got a network of 1x4x6, 1x144, expected images of 1 or 3 channels"):
        bench([styles], ["browser"])


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    class Playwright:
        class chromium:
            executable_path = str(tmp_path / "chrome")

    monkeypatch.setattr(
        browser_runtime.shutil, "which", lambda name: "/bin/" + name if name == "google-chrome" else None
    )
    assert chromium(Playwright) == "/bin/google-chrome"
    monkeypatch.setattr(browser_runtime.shutil, "which", lambda name: None)
    with pytest.raises(
        ExportError,
        match=r"browser: found no Chromium, expected .* pip install 'gancompress\[browser\]' and playwright",
    ):
        chromium(Playwright)
    (tmp_path / "chrome").write_bytes(b"")
    assert chromium(Playwright) == str(tmp_path / "chrome")
    monkeypatch.setattr(runtime_module, "find_spec", lambda package: None)
    with pytest.raises(
        ExportError, match=r"--runtime: browser needs the package playwright: pip install 'gancompress\[browser\]'"
    ):
        bench([network("net", 4)], ["browser"])
