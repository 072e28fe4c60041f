"""A package outside of gancompress adds a runtime in one file, and everything takes it."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gancompress
from gancompress.deploy import (
    INT8,
    RUNTIMES,
    FileOptions,
    Format,
    Runtime,
    export_generator,
    export_layers,
    export_module,
    known_formats,
    register_runtime,
    usage,
)
from gancompress.deploy.benchmark.support import FORMAT_HEAD, RUNTIME_HEAD, format_rows, runtime_rows
from gancompress.deploy.latency import Target, latency_modes
from gancompress.deploy.runtimes import registry
from gancompress.errors import ConfigError, ExportError
from gancompress.jobs import summary
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from tests.cli.verbs import run

PATH = "tests.outside.npz:Npz"
MODULE = PATH.partition(":")[0]
CONFIG = {"ngf": 8, "num_blocks": 1}


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Leave no runtime behind for other tests, and find none that another left."""
    list(RUNTIMES)
    monkeypatch.setattr(RUNTIMES, "_values", dict(RUNTIMES._values))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)


@pytest.fixture
def network(tmp_path) -> Path:
    Generator.from_module(build("resnet", CONFIG), "resnet", CONFIG).save(tmp_path / "net")
    return tmp_path / "net"


def test_from_python(tmp_path):
    with pytest.raises(ConfigError, match=r"got the ending '.npz', expected one of \.pt2, .*; or name the format"):
        export_module(nn.Tanh(), (torch.rand(1, 3, 4, 4),), tmp_path / "net.npz")
    __import__(MODULE)
    net, image = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Tanh()), torch.rand(1, 3, 4, 4)
    report = export_module(
        net, (image,), tmp_path / "net.npz", options=FileOptions(metadata={"layout": "NCHW", "channels": "3"})
    )
    assert (report.format, report.note, len(report.cases)) == ("npz", "1 archive", 1)
    loaded = gancompress.load(report.path)
    torch.testing.assert_close(loaded(image), net(image).detach())
    assert loaded.contract["layout"] == "NCHW"
    with pytest.raises(
        ConfigError, match=r"precision 'bf16', expected none, because only OpenVINO's \.xml files compute in it"
    ):
        gancompress.load(report.path, precision="bf16")
    scope: dict[str, Any] = {}
    source = usage(report.path).replace('"net.npz"', f'"{report.path}"')
    exec(source, scope)
    assert scope["result"].shape == (1, 3, 4, 4)
    assert "npz" in known_formats()
    assert "npz" in latency_modes()


def test_from_the_command_line(network):
    shown = run("export", network, "--format", PATH, "--size", "16x16")
    assert "1 archive, this batch and size" in shown
    assert np.load(network / "model.npz")["network"].size > 0
    timed = json.loads(run("bench", network, "--runtime", PATH, "--size", "16x16", "--rounds", 2, "--json"))
    (timing,) = timed["timings"]
    assert (timing["runtime"], timing["operators_ms"]) == ("npz", None)
    assert timing["disk_bytes"] == (network / "model.npz").stat().st_size


def test_from_an_installed_package(network, monkeypatch):
    monkeypatch.setattr(RUNTIMES, "_entry_points", {"npz": EntryPoint("npz", PATH, RUNTIMES.group)})
    assert "npz" in run("runtimes")
    assert "1 archive" in run("export", network, "--format", "npz", "--size", "16x16")


def test_from_a_recipe(network, tmp_path, monkeypatch):
    job = load_job(
        "quickstart-search",
        [
            f"teacher={{checkpoint: {network}}}",
            "data.image_size=16",
            "data.num_images={train: 12, search: 4, test: 4}",
            "budget={reduction: 1.5}",
            "steps=[{kind: prune, multiple: 1}]",
            f"exports=['{PATH}']",
        ],
    )
    outcome = Pipeline(job, tmp_path / "run", lambda line: None).run()
    assert [each.path.name for each in outcome.files.reports] == ["model.npz"]
    monkeypatch.setattr(summary, "time_files", lambda *how, **_: {})  # as `bench` times them
    (file,) = summary.summarise(outcome, torch.zeros(1, 3, 16, 16), rounds=2).exports
    assert (file.format, file.path) == ("npz", "exports/model.npz")


def test_in_a_latency_budget(tmp_path):
    target = Target(PATH, threads=1)
    runtime, mode, layer_format = target.mode()
    assert (target.device()["runtime"], mode.name, layer_format) == ("npz", "npz", "npz")
    layers = [nn.Conv2d(3, width, 1) for width in (2, 4)]
    paths = export_layers(layers, [torch.ones(1, 3, 4, 4)] * 2, tmp_path, layer_format)
    for layer, path in zip(layers, paths, strict=True):
        torch.testing.assert_close(runtime.open(path).run((torch.ones(1, 3, 4, 4),)), [layer(torch.ones(1, 3, 4, 4))])


def runtime(**attributes: Any) -> type[Runtime]:
    return type("Other", (Runtime,), {"name": "other", "title": "Other", **attributes})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (runtime(name=""), "got no name or title, expected both as attributes of the class"),
        (runtime(name="torch"), "got the name 'torch', expected another one: .*torch_runtime:Torch has it"),
        (runtime(formats=(Format("onnx", "m.x"),)), "got the format 'onnx', expected another one: .*OnnxRuntime has"),
        (runtime(formats=(Format("other", "m.xml"),)), "got the ending '.xml', expected another one: .*OpenVino has"),
        (runtime(formats=(Format("o", "m.o", compute_types=(INT8,)),)), "got int8 in the format 'o' without integers"),
    ],
)
def test_what_cannot_be_registered(wrong, message):
    with pytest.raises(ConfigError, match=rf"^runtime .*:Other: {message}"):
        register_runtime(wrong)
    assert "other" not in RUNTIMES


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.at.all:Npz", "^export: nowhere.at.all:Npz: found no module 'nowhere', expected an importable one"),
        (f"{MODULE}:Nps", rf"^export: {PATH[:-1]}s: {MODULE} has no 'Nps', did you mean 'Npz'\?"),
        (f"{MODULE}:np", f"^export: {MODULE}:np: got module, expected a subclass of gancompress.deploy.Runtime"),
        ("web", "got the format 'web', which is a page, expected the format 'torch' or 'onnx'"),
    ],
)
def test_a_path_that_names_no_format(path, message, network, tmp_path):
    net = Generator.load(network)
    form = FileForm(net.build(), (torch.rand(1, 3, 16, 16),))
    with pytest.raises((ConfigError, ExportError), match=message):
        export_generator(net, form, tmp_path / "x", path)


def test_a_broken_entry_point_is_named(monkeypatch):
    broken = EntryPoint("broken", "nowhere.at.all:Npz", RUNTIMES.group)
    monkeypatch.setattr(RUNTIMES, "_entry_points", {"broken": broken})
    with pytest.raises(ConfigError, match=r"entry point 'broken' of gancompress\.runtimes: .* uninstall the package"):
        known_formats()


def test_a_runtime_of_the_main_program_cannot_be_timed():
    class Local(Runtime):
        name = "local"
        title = "Local"

    with pytest.raises(ConfigError, match="which no other process can import; define the class at the top of a module"):
        registry.import_path(Local())


@pytest.mark.parametrize(
    ("name", "head", "rows"), [("formats", FORMAT_HEAD, format_rows), ("runtimes", RUNTIME_HEAD, runtime_rows)]
)
def test_the_tables_of_the_documentation_are_those_of_the_registry(name, head, rows):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "formats.md").read_text()
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    lines = [head, ["---"] * len(head), *((f"`{row[0]}`", *row[1:]) for row in rows())]
    assert page.partition(begin)[2].partition(end)[0] == "".join(f"| {' | '.join(line)} |\n" for line in lines)
